"""docker-compose.yml, Dockerfile and scripts: whole, without secrets, and clean for their linters."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import yaml
from psycopg import sql

from notification_service.local.ports import free_ports
from notification_service.local.postgres import EmbeddedPostgres
from notification_service.local.redis import EmbeddedRedis, find_redis_server
from scripts.check_env_example import documented, problems, read_by_code, substituted
from tests.containers.conftest import ROOT

BIN = Path(sys.executable).parent
COMPOSE = (ROOT / "docker-compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}


def test_the_services_are_those_of_the_design() -> None:
    always = {name for name, service in SERVICES.items() if "profiles" not in service}
    assert always == {"postgres", "redis", "migrate", "web", "worker", "worker-bulk", "beat", "flower"}
    assert set(SERVICES) - always == {"kafka", "consumer"}
    assert SERVICES["web"]["ports"] == ["${WEB_PORT:-3001}:3001"]
    assert SERVICES["flower"]["ports"] == ["127.0.0.1:5556:5556"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_checked_restarted_and_waits_for_what_it_needs(name: str) -> None:
    service = SERVICES[name]
    check = service["healthcheck"]
    assert check == {"disable": True} or check["test"][0] in ("CMD", "CMD-SHELL")
    assert service["restart"] in ("unless-stopped", "no")
    assert "image" in service
    for need, how in service.get("depends_on", {}).items():
        assert how["condition"] in CONDITIONS
        assert need in SERVICES
        if how["condition"] == "service_healthy":
            assert SERVICES[need]["healthcheck"] != {"disable": True}
    declared = set(yaml.safe_load(COMPOSE)["volumes"])
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        assert source in declared or (ROOT / source).exists()


def test_no_secret_stands_in_the_file() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|KEYS|AUTH|_URL", variable):
                secret = re.sub(r"^[a-z]+://[a-z]*:|@[a-z]+:\d+/\w*$", "", value)
                assert re.fullmatch(r"(\$\{[A-Z_]+:\?[^}]+\}:?)+", secret), f"{name}: {variable}"


def test_every_variable_is_in_the_example() -> None:
    assert problems(ROOT) == []


def test_the_example_has_no_usable_secret() -> None:
    for line in (ROOT / ".env.example").read_text().splitlines():
        name, _, value = line.lstrip("# ").partition("=")
        if re.fullmatch(r"[A-Z_]*(PASSWORD|SECRET_KEY|ENCRYPTION_KEYS?|BASIC_AUTH)", name):
            assert value == "", name


def test_the_comparison_sees_what_is_missing(tmp_path: Path) -> None:
    assert read_by_code('a = env.bool("A", default=env.str("B"))\nos.environ.get("C")\nother.get("D")') == {
        "A",
        "B",
        "C",
    }
    assert substituted('x: ${A:?m}\n"${B:-c}" ${D}') == {"A", "B", "D"}
    assert documented("# --- Part ---\nA=\n# What it is.\n# B=1\n# C=2\n") == ({"A", "B", "C"}, {"A", "C"})
    (tmp_path / "notification_service").mkdir()
    (tmp_path / "notification_service" / "settings.py").write_text('env.str("READ")')
    (tmp_path / "docker-compose.yml").write_text("${ASKED:?}")
    (tmp_path / "entrypoint.sh").write_text("")
    (tmp_path / ".env.example").write_text("# Old.\nUNUSED=\n")
    assert [problem.split()[0] for problem in problems(tmp_path)] == ["ASKED", "READ", "UNUSED"]


def test_the_role_that_the_postgres_image_makes_can_not_bypass_row_level_security(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres", free_ports(1)[0], durable=False)
    try:
        with server.running():
            with psycopg.connect(server.superuser_url.replace("/notifications", "/postgres"), autocommit=True) as admin:
                admin.execute(sql.SQL("DROP DATABASE notifications"))
                admin.execute(sql.SQL("DROP ROLE notifications"))
            password = 'it\'s "quoted"'
            tools = Path(server.command()[0]).parent
            environment = {
                "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
                "PGHOST": "127.0.0.1",
                "PGPORT": str(server.port),
                "PGPASSWORD": (server.directory / "superuser-password").read_text().strip(),
                "NOTIFICATIONS_DB_PASSWORD": password,
            }
            script = ROOT / "docker" / "postgres" / "init.sh"
            done = subprocess.run([script], env=environment, capture_output=True, text=True, timeout=30, check=False)
            assert done.returncode == 0, done.stderr
            access = {"host": "127.0.0.1", "port": server.port, "user": "notifications", "password": password}
            with psycopg.connect(**access, dbname="notifications") as connection:
                row = connection.execute(
                    "SELECT rolsuper, rolbypassrls, rolcreatedb, pg_get_userbyid(datdba) FROM pg_roles, pg_database "
                    "WHERE rolname = current_user AND datname = current_database()"
                ).fetchone()
            assert row == (False, False, False, "notifications")
    finally:
        server.destroy()


def test_the_redis_service_wants_its_password_and_keeps_a_file(tmp_path: Path) -> None:
    """Its command, with another directory and port."""
    (tmp_path / "redis-server").symlink_to(find_redis_server())
    port = free_ports(1)[0]
    shell, option, script = SERVICES["redis"]["command"]
    script = script.replace("$$", "$").replace("dir /data", f"dir {tmp_path}\nport {port}\nbind 127.0.0.1")
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "REDIS_PASSWORD": "abc123"}
    process = subprocess.Popen([shell, option, script], env=environment, stdout=subprocess.DEVNULL)
    try:
        server = EmbeddedRedis(tmp_path / "client", port)
        (tmp_path / "client").mkdir()
        (tmp_path / "client" / "password").write_text("abc123")
        while not server.ready():
            assert process.poll() is None
        with redis.Redis(port=port, password="abc123") as client:
            assert client.config_get("appendonly") == {"appendonly": "yes"}
            assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
    finally:
        process.terminate()
        assert process.wait(10) == 0


def test_the_image_takes_no_secret_and_no_development_file() -> None:
    patterns = (ROOT / ".dockerignore").read_text().split()
    assert patterns[0] == "*"
    assert not {"!.env", "!.local", "!tests", "!.git"} & set(patterns)


def test_the_image_runs_as_nobody_special_and_checks_its_health() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    users = [line for line in lines if line.startswith("USER ")]
    assert users == ["USER 10001:10001"]
    assert any(line.startswith("HEALTHCHECK ") and "healthcheck.py" in line for line in lines)
    assert sum(line.startswith("FROM ") for line in lines) == 2


def test_hadolint() -> None:
    hadolint = [str(BIN / "hadolint"), "--format", "json", str(ROOT / "Dockerfile")]
    done = subprocess.run(hadolint, capture_output=True, text=True, timeout=60, check=False)
    assert json.loads(done.stdout) == []


def test_shellcheck() -> None:
    scripts = [ROOT / "entrypoint.sh", ROOT / ".ci" / "run", *ROOT.glob("scripts/*.sh"), *ROOT.glob("docker/*/*.sh")]
    done = subprocess.run([str(BIN / "shellcheck"), *scripts], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == ""
    assert all(os.access(script, os.X_OK) for script in scripts)
