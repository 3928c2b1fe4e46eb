"""People who talk to each other, and a directory for what they upload."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from tenants.models import Tenant
from tests.conftest import Persona

CHAT = "/api/notifications/chat"


@pytest.fixture(autouse=True)
def _uploads(settings: Settings, tmp_path: Path) -> None:
    uploads = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path / "uploads"}}
    settings.STORAGES = {**settings.STORAGES, "uploads": uploads}


@pytest.fixture
def ada(tenant: Tenant, make_persona: Callable[..., Persona]) -> Persona:
    return make_persona(tenant, "employee", "ada@acme.example")


@pytest.fixture
def bob(tenant: Tenant, make_persona: Callable[..., Persona]) -> Persona:
    return make_persona(tenant, "customer", "bob@acme.example")


@pytest.fixture
def eve(tenant: Tenant, make_persona: Callable[..., Persona]) -> Persona:
    """Of the same tenant, and not invited."""
    return make_persona(tenant, "admin", "eve@acme.example")


def id_of(persona: Persona) -> str:
    return str(persona.user.id)


def make_group(owner: Persona, *others: Persona, kind: str = "group", **fields: Any) -> str:
    """Make a group; return its id."""
    body = {"kind": kind, "title": "Launch", "user_ids": [id_of(other) for other in others], **fields}
    answer = owner.client.post(f"{CHAT}/conversations/", body)
    assert answer.status_code == 201, answer.json()
    return str(answer.json()["id"])


def say(persona: Persona, conversation_id: str, text: str = "Hello", **fields: Any) -> dict[str, Any]:
    """Send a message; return it."""
    answer = persona.client.post(f"{CHAT}/conversations/{conversation_id}/messages/", {"text": text, **fields})
    assert answer.status_code in (200, 201), answer.json()
    return dict(answer.json())


def history(persona: Persona, conversation_id: str, **query: Any) -> dict[str, Any]:
    answer = persona.client.get(f"{CHAT}/conversations/{conversation_id}/messages/", query)
    assert answer.status_code == 200, answer.json()
    return dict(answer.json())


def texts(persona: Persona, conversation_id: str, **query: Any) -> list[str]:
    """Return what people said, without what the service did."""
    found = history(persona, conversation_id, **query)["results"]
    return [message["text"] for message in found if message["message_type"] != "system"]
