# One service, a few commands. `make` alone lists them.
SHELL := /bin/sh
VENV ?= .venv
PY := $(VENV)/bin/python
MANAGE := $(PY) manage.py
LOCAL := $(PY) -m notification_service.local
SCHEMA := docs/openapi.yaml
# Settings for commands that need Django but no server and no secret of an installation.
OFFLINE := DATABASE_POOL=0 DEBUG=true DJANGO_SECRET_KEY=offline ENCRYPTION_KEYS=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=
export VENV

.DEFAULT_GOAL := help
.PHONY: help up down reset logs status stop start shell manage venv venv-dev test check format openapi \
	lint types imports migrations schema env shellcheck clients dist audit bench soak

help:
	@awk 'BEGIN { FS = ":.*## " } /^## / { print "\n" substr($$0, 4) } \
		/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

## Run
up: venv ## run everything on this machine (PORT=3001); Ctrl-C stops it, data stays
	@exec $(MANAGE) up

down: venv ## stop what `make up` runs
	@$(MANAGE) down

reset: venv ## stop it and delete all local data, without asking
	@$(MANAGE) down --delete-data

logs: ## follow the logs of all services
	@ls .local/logs/*.log >/dev/null 2>&1 || { echo "no logs yet; start it with: make up" >&2; exit 1; }
	@tail -n 20 -F .local/logs/*.log

status: venv ## show the services of a running `make up`
	@$(MANAGE) service status

stop: venv ## stop one of them: make stop SERVICE=redis
	@$(MANAGE) service stop $(SERVICE)

start: venv ## start it again: make start SERVICE=redis
	@$(MANAGE) service start $(SERVICE)

shell: venv ## Django's shell, with the environment of `make up`
	@exec $(LOCAL) shell

manage: venv ## any command of manage.py: make manage ARGS="showmigrations"
	@exec $(LOCAL) $(ARGS)

## Change
test: venv-dev ## the whole suite, on servers of its own, in a real browser too (ARGS="-k name" for a part)
	@sh scripts/chromium.sh >/dev/null
	@$(PY) -m pytest -n 2 --dist loadgroup $(ARGS)

check: lint types imports migrations schema env shellcheck clients ## everything that reads the code
	@echo "All checks passed."

bench: venv-dev ## benchmarks beside their baselines (QUICK=1 for under a minute, ARGS="I1 S1" for a part)
	@QUICK=$(QUICK) $(PY) -m benchmarks $(ARGS)

soak: venv-dev ## ten minutes of mixed load while parts are killed (SECONDS=60 for less)
	@SECONDS=$(or $(SECONDS),600) $(PY) -m benchmarks soak

format: venv-dev ## format the code and sort the imports
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

openapi: venv-dev ## write docs/openapi.yaml anew
	@$(OFFLINE) $(MANAGE) spectacular --validate --fail-on-warn --file $(SCHEMA)

dist: venv ## build clients/typescript/dist anew
	@scripts/node.sh sh scripts/clients.sh build

audit: venv-dev ## known vulnerabilities of the requirements (prints, never fails)
	-@$(PY) -m pip_audit --requirement requirements.txt --no-deps --disable-pip --progress-spinner off

## Single checks
lint: venv-dev ## ruff: rules and format
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

types: venv-dev ## mypy, strict
	@$(OFFLINE) $(PY) -m mypy

imports: venv-dev ## who may import whom
	@PYTHONPATH=. $(VENV)/bin/lint-imports

migrations: venv-dev ## models without a migration
	@$(OFFLINE) $(PY) -m notification_service.local.testing $(MANAGE) makemigrations --check --dry-run

schema: venv-dev ## docs/openapi.yaml is what the code says
	@new=$$(mktemp) && trap 'rm -f "$$new"' EXIT && \
		$(OFFLINE) $(MANAGE) spectacular --validate --fail-on-warn --file "$$new" && \
		{ diff -u $(SCHEMA) "$$new" || { echo "$(SCHEMA) is old; run: make openapi" >&2; exit 1; }; }

env: venv-dev ## .env.example names what the settings read
	@$(PY) scripts/check_env_example.py

shellcheck: venv-dev ## shell scripts
	@$(VENV)/bin/shellcheck entrypoint.sh .ci/run scripts/*.sh docker/postgres/*.sh

clients: venv ## clients/typescript: types, unit tests, dist is what the sources say, sizes
	@scripts/node.sh sh scripts/clients.sh check

venv:
	@sh scripts/setup.sh

venv-dev:
	@sh scripts/setup.sh --dev
