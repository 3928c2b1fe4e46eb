"""The admin's pages of credentials: what staff see is what tenants see, and never a secret."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.urls import reverse

from notification_service.lib.scope import tenant_scope
from notifications.credentials import circuit
from notifications.credentials.models import Credential
from tenants.models import User
from tests.conftest import Persona
from tests.credentials.conftest import PASSWORD


@pytest.fixture
def staff(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root@platform.example"))
    return client


def test_no_page_shows_a_secret_or_its_ciphertext(
    staff: Client, admin: Persona, create: Callable[..., dict[str, Any]]
) -> None:
    made = create()
    with tenant_scope(admin.tenant_id):
        sealed = bytes(Credential.objects.get(id=made["id"]).payload_encrypted)
    pages = [
        reverse("admin:credentials_credential_changelist"),
        reverse("admin:credentials_credential_change", args=[made["id"]]),
    ]
    for page in pages:
        answer = staff.get(page)
        text = answer.content.decode()
        assert answer.status_code == 200
        assert made["id"] in text
        for secret in (PASSWORD, "horse battery", sealed.hex(), repr(sealed)[2:40]):
            assert secret not in text


def test_circuits_are_shown(staff: Client, admin: Persona, create: Callable[..., dict[str, Any]]) -> None:
    well, failing, resting = create(), create(), create()
    circuit.report(admin.tenant_id, UUID(failing["id"]), good=0, bad=2)
    circuit.report(admin.tenant_id, UUID(resting["id"]), good=0, bad=circuit.FAILURES_TO_OPEN)
    text = staff.get(reverse("admin:credentials_credential_changelist")).content.decode()
    assert "closed, 2 failures in a row" in text
    assert re.search(r"open until \d\d:\d\d:\d\d UTC, 5 failures in a row", text)
    page = staff.get(reverse("admin:credentials_credential_change", args=[resting["id"]])).content.decode()
    assert "5 failures in a row" in page
    page = staff.get(reverse("admin:credentials_credential_change", args=[well["id"]])).content.decode()
    assert "closed" in page
    assert "failures in a row" not in page
