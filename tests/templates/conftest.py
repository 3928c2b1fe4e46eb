"""A tenant that sends: the same mail server and engine as the records' tests have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

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
from tests.sandbox.conftest import Sandbox

TEMPLATES = "/api/notifications/templates/"
INVITE: dict[str, Any] = {
    "name": "Interview Invite",
    "channel": "email",
    "content": {"subject": "Hi {{name}}", "body": "<p>See you, {{ name }}.</p>"},
    "placeholders": ["{{name}}"],
}

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def make(admin: Persona) -> Make:
    """Make a template of ``acme``: the specification's example with changes; ``...`` takes a field out."""

    def post(**changes: Any) -> dict[str, Any]:
        body = {name: value for name, value in {**INVITE, **changes}.items() if value is not ...}
        answer = admin.client.post(TEMPLATES, body)
        assert answer.status_code == 201, answer.json()
        return dict(answer.json())

    return post


@pytest.fixture
def mailing(admin: Persona, mail_server: Sandbox, make_credential: Callable[..., Any]) -> Persona:  # noqa: F811
    """An admin of ``acme``, which sends through the mail server."""
    make_credential(admin.tenant, mail_server.smtp_port)
    return admin
