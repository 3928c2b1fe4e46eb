"""Credentials at rest: bound to their row and tenant, and rotated to a new key without being read by anybody."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from notification_service.lib.encryption import DecryptionError, KeyRing
from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.credentials.management.commands import rotate_credentials
from notifications.credentials.models import Credential
from notifications.credentials.services import decrypt
from tenants.models import AuditLog
from tests.conftest import Persona
from tests.credentials.conftest import CREDENTIALS, PASSWORD, body

Create = Callable[..., dict[str, Any]]


def stored(persona: Persona, made: dict[str, Any]) -> Credential:
    with tenant_scope(persona.tenant_id):
        return Credential.objects.get(id=made["id"])


def swap(one: Credential, other: Credential) -> None:
    one.payload_encrypted, other.payload_encrypted = other.payload_encrypted, one.payload_encrypted
    with platform_scope("test"):
        one.save()
        other.save()


def test_a_ciphertext_copied_to_another_row_does_not_open(admin: Persona, create: Create) -> None:
    one, other = stored(admin, create()), stored(admin, create())
    swap(one, other)
    for credential in (one, other):
        with pytest.raises(DecryptionError):
            decrypt(credential)
    swap(one, other)
    assert decrypt(one).reveal()["password"] == PASSWORD


def test_a_ciphertext_copied_to_another_tenant_does_not_open(admin: Persona, stranger: Persona, create: Create) -> None:
    mine = stored(admin, create())
    theirs = stored(stranger, stranger.client.post(CREDENTIALS, body(password="theirs and theirs alone")).json())
    swap(mine, theirs)
    for credential in (mine, theirs):
        with pytest.raises(DecryptionError):
            decrypt(credential)
    moved = stored(admin, {"id": mine.id})
    moved.tenant_id = stranger.tenant_id
    with pytest.raises(DecryptionError):
        decrypt(moved)


def test_a_fernet_key_is_a_key(admin: Persona, create: Create, settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    assert decrypt(stored(admin, create())).reveal()["password"] == PASSWORD


def rotate(*options: str) -> str:
    out = StringIO()
    call_command("rotate_credentials", *options, stdout=out)
    return out.getvalue()


@pytest.fixture
def many(admin: Persona, stranger: Persona, create: Create) -> list[tuple[Persona, Credential]]:
    """Five credentials of two tenants under the old key."""
    made = [(admin, stored(admin, create(password=f"password number {n}"))) for n in range(3)]
    for n in range(3, 5):
        answer = stranger.client.post(CREDENTIALS, body(password=f"password number {n}"))
        made.append((stranger, stored(stranger, answer.json())))
    return made


def test_rotation_moves_every_credential_to_the_first_key(
    many: list[tuple[Persona, Credential]], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotate_credentials, "BATCH", 2)
    old, new = django_settings.ENCRYPTION_KEYS[0], Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [new, old]
    assert "5 of 5" in rotate()
    assert "0 of 5" in rotate()
    settings.ENCRYPTION_KEYS = [new]
    for n, (persona, credential) in enumerate(many):
        now = stored(persona, {"id": credential.id})
        assert decrypt(now).reveal()["password"] == f"password number {n}"
        assert KeyRing([new]).is_current(bytes(now.payload_encrypted))
    with platform_scope("test"):
        rows = AuditLog.objects.filter(action="credentials.rotated")
        assert [(row.tenant_id, row.metadata["rotated"]) for row in rows] == [(None, 0), (None, 5)]


def test_a_dry_run_changes_nothing(many: list[tuple[Persona, Credential]], settings: Settings) -> None:
    old, new = django_settings.ENCRYPTION_KEYS[0], Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [new, old]
    assert "5 of 5" in rotate("--dry-run")
    settings.ENCRYPTION_KEYS = [old]
    for persona, credential in many:
        decrypt(stored(persona, {"id": credential.id}))


def test_a_key_that_is_missing_is_told_and_the_others_are_rotated(
    many: list[tuple[Persona, Credential]], create: Create, settings: Settings
) -> None:
    old, lost, new = django_settings.ENCRYPTION_KEYS[0], Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [lost, old]
    orphan = create()
    settings.ENCRYPTION_KEYS = [new, old]
    with pytest.raises(CommandError, match="1 credential") as refused:
        rotate()
    assert orphan["id"] in str(refused.value)
    settings.ENCRYPTION_KEYS = [new]
    for persona, credential in many:
        decrypt(stored(persona, {"id": credential.id}))
