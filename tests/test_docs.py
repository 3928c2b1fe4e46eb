"""The documents are true: links lead somewhere, what is named exists, and what people are told to send is accepted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.urls import resolve

from notifications.providers.base import FailureReason
from notifications.records.states import TRANSITIONS
from tenants.api.views import NoSuchAddress
from tests.conftest import Persona

ROOT = Path(__file__).resolve().parents[1]
#: Made by running things, or not ours.
GENERATED = ("notifications_logs/", "staticfiles/", "media/", ".local/", ".venv/", "node_modules/")
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "*/**/*.md")
    for path in ROOT.glob(pattern)
    if not any(part.startswith(".") or f"{part}/" in GENERATED for part in path.relative_to(ROOT).parts)
)
#: The sandbox has an API of its own, described in a document of its own.
OF_THE_SERVICE = [path for path in DOCUMENTS if path.name != "sandbox.md"]
SOURCES = [
    path
    for room in ("notification_service", "notifications", "tenants", "messaging", "sandbox")
    for path in (ROOT / room).rglob("*.py")
]

LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE_BLOCK = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"(?<![\w/.$:-])((?:[\w.-]+/)*[\w.-]+\.(?:py|sh|md|yml|toml|txt))(?![\w/])")
DEFINED_IN = re.compile(r"`([A-Za-z_][\w.]*)`\s+(?:in\s+)?\(?`([\w/]+\.py)`")
ADDRESS = re.compile(
    r"(?<!SANDBOX)(?<![\w.])(/(?:api|health|admin|redoc|swagger|\.well-known)(?:/[\w.{}-]+)*/?)(?![\w])"
)
CURL = re.compile(
    r"curl -sS\s+'?(?:http://127\.0\.0\.1:3001|\$BASE)(/[^\s']*)'?((?:[^\n]*\\\n)*[^\n]*?)(?:-d '(\{.*?\})')?\s*\n",
    re.DOTALL,
)
VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
AN_ID = "01a1f945-17a8-70a7-a3c8-1a9deeb10f4a"


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def named(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=lambda path: str(path.relative_to(ROOT)))


def code_in(text: str) -> Iterator[str]:
    """Yield what stands in code blocks and between backticks."""
    yield from CODE_BLOCK.findall(text)
    yield from CODE.findall(CODE_BLOCK.sub("", text))


def requests_in(path: Path) -> list[tuple[str, str | None]]:
    """Return (address, body) of each curl command that speaks to the service."""
    return [
        (found[1], found[3]) for block in CODE_BLOCK.findall(text_of(path)) for found in CURL.finditer(block + "\n")
    ]


def test_the_readme_says_how_to_start() -> None:
    assert {"make up", "make test"} <= set(re.findall(r"make \w+", text_of(ROOT / "README.md")))


@named(DOCUMENTS)
def test_relative_links_lead_somewhere(path: Path) -> None:
    targets = [link for link in LINK.findall(text_of(path)) if not re.match(r"[a-z]+:", link)]
    lost = [link for link in targets if not (path.parent / link.partition("#")[0]).exists()]
    assert lost == []


@named(DOCUMENTS)
def test_files_and_directories_that_are_named_exist(path: Path) -> None:
    text = text_of(path)
    files = {name for code in code_in(text) for name in FILE.findall(re.sub(r"\w+://\S+", "", code))}
    directories = {code for code in CODE.findall(text) if re.fullmatch(r"(?:[\w-][\w.-]*/)+", code)}
    if path != ROOT / "README.md":  # elsewhere a single name may be one of another place's
        directories = {name for name in directories if name.count("/") > 1}
    lost = [name for name in files | directories if not name.startswith(GENERATED) and not (ROOT / name).exists()]
    assert lost == []


@named(OF_THE_SERVICE)
def test_names_are_defined_where_the_document_says(path: Path) -> None:
    for name, source in DEFINED_IN.findall(CODE_BLOCK.sub("", text_of(path))):
        last = name.rpartition(".")[2]
        defined = re.compile(rf"^\s*(?:(?:async )?def|class) {last}\b|^{last}\b.*=", re.MULTILINE)
        assert defined.search(text_of(ROOT / source)), f"{name} in {source}"


@named(OF_THE_SERVICE)
def test_addresses_that_are_named_answer(path: Path) -> None:
    for code in code_in(text_of(path)):
        for address in ADDRESS.findall(code):
            view = resolve(address.replace("{id}", AN_ID)).func
            assert getattr(view, "cls", None) is not NoSuchAddress, address


@named(DOCUMENTS)
def test_make_has_the_targets_that_are_named(path: Path) -> None:
    known = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    wanted = {target for code in code_in(text_of(path)) for target in re.findall(r"\bmake ([a-z-]+)", code)}
    assert wanted <= known


@named(DOCUMENTS)
def test_variables_that_are_named_can_be_set(path: Path) -> None:
    known = set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=", text_of(ROOT / ".env.example"), re.MULTILINE))
    wanted = {code for code in CODE.findall(text_of(path)) if VARIABLE.fullmatch(code)}
    assert wanted - {"NAME_FILE"} <= known


def test_what_must_be_set_is_named_in_the_operators_document() -> None:
    required = re.findall(r"^([A-Z][A-Z0-9_]*)=$", text_of(ROOT / ".env.example"), re.MULTILINE)
    assert required
    assert set(required) <= set(CODE.findall(text_of(ROOT / "docs/operations.md")))


def test_log_events_that_are_named_are_logged() -> None:
    section = text_of(ROOT / "docs/operations.md").partition("| Event | Means |")[2].partition("\n\n")[0]
    events = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert len(events) > 3
    sources = "".join(map(text_of, SOURCES))
    assert [event for event in events if f'"{event}"' not in sources] == []


def test_the_glossary_knows_every_status_and_where_it_leads() -> None:
    section = text_of(ROOT / "docs/glossary.md").partition("## Status of a record")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*) \|$", section, re.MULTILINE)
    told = {status: set(CODE.findall(onward)) for status, onward in rows}
    assert told == {str(status): {str(target) for target in onward} for status, onward in TRANSITIONS.items()}


def test_the_glossary_knows_every_failure_reason() -> None:
    section = text_of(ROOT / "docs/glossary.md").partition("## Failure reasons")[2]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [str(reason) for reason in FailureReason]


def test_the_architecture_names_every_table() -> None:
    rooms = {"tenants", "credentials", "records", "messaging"}
    tables = {model._meta.db_table for model in apps.get_models() if model._meta.app_label in rooms}
    assert tables <= set(CODE.findall(text_of(ROOT / "docs/architecture.md")))


def test_every_decision_is_listed() -> None:
    listed = LINK.findall(text_of(ROOT / "docs/adr/README.md"))
    assert listed == sorted(path.name for path in (ROOT / "docs/adr").glob("0*.md"))


@pytest.mark.parametrize("name", ["README.md", "docs/api.md"])
def test_what_people_are_told_to_send_is_accepted(admin: Persona, name: str) -> None:
    credential = {"host": "mail.acme.example", "from_email": "no-reply@acme.example"}
    stored = admin.client.post("/api/notifications/credentials/", {"channel": "email", "credentials": credential})
    assert stored.status_code == 201
    requests = requests_in(ROOT / name)
    assert any(body for _, body in requests)
    for address, body in requests:
        answer = admin.client.post(address, json.loads(body)) if body else admin.client.get(address)
        assert answer.status_code == (201 if body else 200), (address, answer.content)
