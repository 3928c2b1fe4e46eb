"""The local issuer's keys."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import connections
from django.utils import timezone

from notification_service.lib.scope import platform_scope
from tenants import signing_keys
from tenants.models import AuditLog, SigningKey, Tenant, User
from tenants.tokens import issue_access_token


@pytest.mark.django_db(transaction=True)
def test_the_first_key_is_made_once_however_many_ask() -> None:
    SigningKey.objects.all().delete()
    signing_keys.forget_copies()

    def ask() -> None:
        signing_keys._first()
        connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert SigningKey.objects.count() == 1


def test_the_private_half_is_encrypted(db: None) -> None:
    key = SigningKey.objects.get(id=UUID(signing_keys.signer().kid))
    assert b"PRIVATE" not in bytes(key.private_pem_encrypted)
    assert "PRIVATE" not in key.public_pem
    assert "private_key" not in repr(signing_keys.signer())


def test_the_command_rotates_and_is_audited(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    old = signing_keys.signer().kid
    call_command("rotate_signing_keys")
    new = signing_keys.signer().kid
    assert new != old
    assert new in capsys.readouterr().out
    with platform_scope("test"):
        row = AuditLog.objects.get(action="signing_key.rotated")
    assert (row.resource_id, row.tenant_id) == (new, None)


def test_retired_keys_are_published_no_more(tenant: Tenant, make_member: Callable[..., User]) -> None:
    old = signing_keys.signer().kid
    issue_access_token(make_member(tenant), tenant, "admin")
    signing_keys.rotate()
    retired_at = SigningKey.objects.get(id=UUID(old)).retired_at
    assert retired_at is not None
    assert timedelta(minutes=15) < retired_at - timezone.now() < timedelta(hours=2)
    SigningKey.objects.filter(id=UUID(old)).update(retired_at=timezone.now())
    signing_keys.forget_copies()
    assert [key["kid"] for key in signing_keys.jwks()["keys"]] == [signing_keys.signer().kid]
    assert signing_keys.public_key(old) is None
