"""Credentials: the mail server of the records' tests, and a body that is accepted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Persona
from tests.records.conftest import mail_program, mail_server  # noqa: F401 - fixtures

CREDENTIALS = "/api/notifications/credentials/"
PASSWORD = "correct horse battery staple"
MASKED = "••••aple"


def body(**payload: Any) -> dict[str, Any]:
    """Return an SMTP credential; ``...`` takes a field of its payload out."""
    settings = {
        "host": "smtp.example.com",
        "username": "acme",
        "password": PASSWORD,
        "from_email": "app@acme.example",
        **payload,
    }
    return {"channel": "email", "credentials": {name: value for name, value in settings.items() if value is not ...}}


@pytest.fixture
def create(admin: Persona) -> Callable[..., dict[str, Any]]:
    """Create a credential of ``acme`` over the API, and return the answer's body."""

    def make(**payload: Any) -> dict[str, Any]:
        answer = admin.client.post(CREDENTIALS, body(**payload))
        assert answer.status_code == 201, answer.json()
        return dict(answer.json())

    return make
