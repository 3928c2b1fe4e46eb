"""Files to upload, and workers that take turns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from pytest_django import Settings
from rest_framework.test import APIClient

from notification_service.lib.scope import tenant_scope
from notifications.batches.models import Job
from notifications.batches.turns import take_turn
from tests.conftest import Persona
from tests.records.conftest import (  # noqa: F401 - fixtures
    _database_is_up,
    credential,
    engine,
    mail_program,
    mail_server,
    make_credential,
    sender,
)

SERVICES = "/api/v1/services/notifications"
BULK = f"{SERVICES}/bulk"
CONTENT = {"subject": "Hi {{name}}", "text": "Dear {{name}}, your voucher is {{code}}."}


@pytest.fixture(autouse=True)
def uploads_directory(settings: Settings, tmp_path: Path) -> Path:
    """Uploads of a test are nobody else's."""
    options = {"location": tmp_path / "uploads", "base_url": None}
    settings.STORAGES = {
        **settings.STORAGES,
        "uploads": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": options},
    }
    return tmp_path / "uploads"


def upload(
    client: APIClient, data: bytes | str, *, name: str = "people.csv", key: str | None = None, **form: Any
) -> Any:
    """Upload a file with the example's content; return the answer."""
    fields = {"channel": "email", "content": CONTENT, **form}
    body = {
        field: json.dumps(value) if isinstance(value, dict) else value
        for field, value in fields.items()
        if value is not ...
    }
    file = SimpleUploadedFile(name, data.encode() if isinstance(data, str) else data)
    headers = {"Idempotency-Key": key} if key else {}
    return client.post(f"{BULK}/csv", {"file": file, **body}, format="multipart", headers=headers)


def work(persona: Persona, job_id: str, *, turns: int = 50) -> dict[str, Any]:
    """Take a job's turns as a worker would; return the job as the API shows it."""
    for _ in range(turns):
        if not take_turn(persona.tenant_id, UUID(job_id)):
            break
    return persona.client.get(f"{BULK}/{job_id}").json()


@pytest.fixture
def run(sender: Persona) -> Callable[..., dict[str, Any]]:  # noqa: F811
    """Upload a file for ``acme`` and work until it has its end; return the job."""

    def go(data: bytes | str, **form: Any) -> dict[str, Any]:
        answer = upload(sender.client, data, **form)
        assert answer.status_code == 202, answer.content
        return work(sender, answer.json()["id"])

    return go


def job_of(persona: Persona, job_id: str) -> Job:
    """Return a job as the database has it."""
    with tenant_scope(persona.tenant_id):
        return Job.objects.select_related("batch").get(id=job_id)


def table(count: int, *, start: int = 0) -> str:
    """Return a file with so many right rows."""
    rows = [f"person{n}@example.com,Person {n},C-{n}" for n in range(start, start + count)]
    return "\n".join(["recipient,name,code", *rows]) + "\n"
