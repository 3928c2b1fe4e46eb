"""Credentials at rest: bound to their row and tenant, and rotated to a new key without being read by anybody."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db.models import BinaryField
from pytest_django.fixtures import Settings

from notification_service.lib.encryption import DecryptionError, KeyRing, key_ring
from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.credentials import rotation
from notifications.credentials.models import Credential
from notifications.credentials.rotation import encrypted_columns
from notifications.credentials.services import decrypt
from notifications.events.dead_letters import Letter, bury
from tenants import signing_keys
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
    monkeypatch.setattr(rotation, "BATCH", 2)
    old, new = django_settings.ENCRYPTION_KEYS[0], Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [new, old]
    assert "credential.payload_encrypted: 5 of 5" in rotate()
    assert "credential.payload_encrypted: 0 of 5" in rotate()
    settings.ENCRYPTION_KEYS = [new]
    for n, (persona, credential) in enumerate(many):
        now = stored(persona, {"id": credential.id})
        assert decrypt(now).reveal()["password"] == f"password number {n}"
        assert KeyRing([new]).is_current(bytes(now.payload_encrypted))
    with platform_scope("test"):
        rows = AuditLog.objects.filter(action="credentials.rotated")
        assert [(row.tenant_id, row.metadata["columns"].get("credential.payload_encrypted", 0)) for row in rows] == [
            (None, 0),
            (None, 5),
        ]


def test_a_dry_run_changes_nothing(many: list[tuple[Persona, Credential]], settings: Settings) -> None:
    old, new = django_settings.ENCRYPTION_KEYS[0], Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [new, old]
    assert "credential.payload_encrypted: 5 of 5" in rotate("--dry-run")
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
    with pytest.raises(CommandError, match=r"1 of credential\.payload_encrypted") as refused:
        rotate()
    assert orphan["id"] in str(refused.value)
    settings.ENCRYPTION_KEYS = [new]
    for persona, credential in many:
        decrypt(stored(persona, {"id": credential.id}))


def everything_encrypted(admin: Persona, create: Create) -> None:
    """Make a row for each encrypted column of the service. A new column needs a line here."""
    create()
    client = admin.client
    endpoint = client.post("/api/v1/webhooks/endpoints", {"url": "https://crm.acme.example/webhooks"}).json()
    posts: list[tuple[str, dict[str, Any]]] = [
        (f"/api/v1/webhooks/endpoints/{endpoint['id']}/rotate-secret", {}),
        ("/api/v1/events/sources", {"name": "Parcels"}),
        ("/api/v1/events", {"type": "something.secret", "payload": {"password": "hunter2-hunter2"}}),
    ]
    for path, body_ in posts:
        answer = client.post(path, body_)
        assert answer.status_code in (200, 201), answer.content
    service = {"url": "https://crm.acme.example/users/{user_id}", "secret": "a-secret-of-acme"}
    assert client.put("/api/v1/projects/me/user-service", service).status_code == 200
    with platform_scope("test"):
        bury([Letter("hr-events", 0, 0, "", b"{", "not_json", "No JSON.", admin.tenant_id)])
        bury([Letter("hr-events", 0, 1, "", b"{", "not_json", "No JSON.")])
    signing_keys.rotate()


def in_clear() -> dict[tuple[str, Any], bytes]:
    """Everything that is encrypted, by column and row."""
    found = {}
    with platform_scope("test"):
        for column in encrypted_columns():
            for row in column.model._default_manager.exclude(**{column.name: None}):
                value = bytes(getattr(row, column.name))
                found[str(column), row.pk] = key_ring().decrypt(value, associated_data=row.associated_data)
    return found


def test_every_encrypted_column_is_rotated_so_that_the_old_key_can_go(
    admin: Persona, create: Create, settings: Settings
) -> None:
    everything_encrypted(admin, create)
    before = in_clear()
    assert {column for column, _ in before} == {str(column) for column in encrypted_columns()}, "each has a row here"
    old, new = django_settings.ENCRYPTION_KEYS[0], Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [new, old]
    said = rotate()
    assert "webhook_endpoint.previous_secret_encrypted: 1 of 1 rotated." in said
    assert not any(secret.decode() in said for secret in before.values())
    settings.ENCRYPTION_KEYS = [new]
    assert in_clear() == before
    assert all(" 0 of " in line for line in rotate().splitlines())


def test_what_is_binary_is_encrypted_by_name_or_known_to_be_no_secret() -> None:
    binary = {
        f"{model._meta.db_table}.{field.name}"
        for model in apps.get_models()
        for field in model._meta.local_concrete_fields
        if isinstance(field, BinaryField) and not field.name.endswith("_hash")
    }
    assert binary - {"campaign_recipient.address_key"} == {str(column) for column in encrypted_columns()}


def test_an_interrupted_rotation_goes_on_where_it_was(
    many: list[tuple[Persona, Credential]], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "BATCH", 2)
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode(), django_settings.ENCRYPTION_KEYS[0]]
    real, calls = KeyRing.rotate, []

    def interrupted(ring: KeyRing, ciphertext: bytes, *, associated_data: bytes) -> bytes:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(ring, ciphertext, associated_data=associated_data)

    with monkeypatch.context() as patch:
        patch.setattr(KeyRing, "rotate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            rotate()
    assert "credential.payload_encrypted: 3 of 5" in rotate()
