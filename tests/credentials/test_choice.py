"""What a message is sent with: position, weight, status, health, and rate."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.fernet import Fernet
from django.utils import timezone
from pytest_django.fixtures import Settings

from notification_service.lib.scope import tenant_scope
from notifications.credentials.choice import Choice, choose, let_through
from notifications.credentials.circuit import FAILURES_TO_OPEN, may_probe
from notifications.credentials.models import Credential
from notifications.credentials.services import create_credential, pause_credential
from tenants.callers import Mode, system_caller
from tenants.models import Tenant
from tests.credentials.conftest import body
from tests.credentials.test_circuit import fail, rest, state_of

pytestmark = pytest.mark.django_db

Make = Callable[..., Credential]


@pytest.fixture
def make(tenant: Tenant) -> Make:
    """Store a mail credential of ``acme``."""

    def create(**fields: Any) -> Credential:
        with tenant_scope(tenant.id):
            return create_credential(
                system_caller(tenant.id, "test"), channel="email", payload=body()["credentials"], **fields
            )

    return create


def chosen(tenant: Tenant, mode: Mode = "live") -> Choice:
    with tenant_scope(tenant.id):
        return choose(tenant.id, "email", mode)


def ids(choice: Choice) -> list[UUID | None]:
    return [credential.id for credential in choice.credentials]


def open_circuit(tenant: Tenant, credential: Credential) -> None:
    fail(credential.id, FAILURES_TO_OPEN, tenant.id)


def test_they_are_tried_by_position(tenant: Tenant, make: Make) -> None:
    third, first, second = make(position=20), make(position=0, weight=1), make(position=5, weight=100)
    for _ in range(10):
        assert ids(chosen(tenant)) == [first.id, second.id, third.id]


def test_weights_share_the_messages_of_one_position(tenant: Tenant, make: Make) -> None:
    random.seed(20)
    light, heavy = make(weight=1), make(weight=3)
    firsts = Counter(ids(chosen(tenant))[0] for _ in range(300))
    assert sum(firsts.values()) == firsts[light.id] + firsts[heavy.id]
    assert 0.67 < firsts[heavy.id] / 300 < 0.83
    assert set(ids(chosen(tenant))) == {light.id, heavy.id}, "the other one is the next"


def test_those_that_are_disabled_or_paused_are_not_used(tenant: Tenant, make: Make) -> None:
    make(position=0, enabled=False)
    refused, good = make(position=1), make(position=2)
    with tenant_scope(tenant.id):
        pause_credential(tenant.id, refused.id, because="535 no")
    assert ids(chosen(tenant)) == [good.id]


def test_without_an_active_one_the_records_wait_for_news(tenant: Tenant, make: Make) -> None:
    make(enabled=False)
    choice = chosen(tenant)
    assert (choice.credentials, choice.again_at) == ((), None)
    assert "No usable email credential" in choice.because


def test_an_open_circuit_is_passed_over(tenant: Tenant, make: Make) -> None:
    first, second = make(position=0), make(position=1)
    open_circuit(tenant, first)
    assert ids(chosen(tenant)) == [second.id]


def test_when_all_are_open_it_is_worth_looking_again_when_the_first_ends(tenant: Tenant, make: Make) -> None:
    first, second = make(position=0), make(position=1)
    open_circuit(tenant, second)
    rest(second.id, tenant.id)
    fail(second.id, 1, tenant.id)  # for twice as long
    open_circuit(tenant, first)
    choice = chosen(tenant)
    assert choice.credentials == ()
    assert choice.again_at == state_of(first.id, tenant.id).open_until
    assert "keeps failing" in choice.because


def test_one_caller_tries_a_half_open_circuit_and_the_others_soon_look_again(tenant: Tenant, make: Make) -> None:
    tried, resting = make(position=0), make(position=1)
    for credential in (tried, resting):
        open_circuit(tenant, credential)
    rest(tried.id, tenant.id)
    (probe,) = chosen(tenant).credentials
    assert (probe.id, probe.probing) == (tried.id, True)
    others = chosen(tenant)
    assert others.credentials == ()
    # Not when the second has had its rest: what comes of the try is known long before.
    assert others.again_at is not None
    assert others.again_at - timezone.now() < timedelta(seconds=6)
    assert not may_probe(tenant.id, tried.id)


def test_one_that_can_not_be_decrypted_is_passed_over(tenant: Tenant, make: Make, settings: Settings) -> None:
    make(position=0)
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    good = make(position=1)
    assert ids(chosen(tenant)) == [good.id]


def test_if_none_can_be_decrypted_the_records_wait_for_one_that_can(
    tenant: Tenant, make: Make, settings: Settings
) -> None:
    make()
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    choice = chosen(tenant)
    assert (choice.credentials, choice.again_at) == ((), None)
    assert "decrypted" in choice.because


def test_others_credentials_are_never_used(tenant: Tenant, other_tenant: Tenant, make: Make) -> None:
    make()
    assert chosen(other_tenant).credentials == ()


def test_test_traffic_goes_to_the_sandbox_whatever_there_is(tenant: Tenant, make: Make, settings: Settings) -> None:
    make()
    settings.SANDBOX_SMTP_URL = "smtp://acme:p%40ss@127.0.0.1:2525"
    (sandbox,) = chosen(tenant, "test").credentials
    assert (sandbox.id, sandbox.provider) == (None, "smtp")
    payload = sandbox.payload.reveal()
    assert (payload["host"], payload["port"], payload["username"]) == ("127.0.0.1", 2525, "acme")
    assert payload["password"] == "p@ss"
    assert "p@ss" not in repr(sandbox)


def test_a_rate_limit_lets_through_what_it_says(tenant: Tenant, make: Make) -> None:
    make(rate_limit=5)
    (limited,) = chosen(tenant).credentials
    assert [let_through(tenant.id, limited, 3), let_through(tenant.id, limited, 9)] == [3, 2]
    assert let_through(tenant.id, limited, 9) <= 1


def test_without_a_rate_limit_everything_passes(tenant: Tenant, make: Make) -> None:
    make()
    (free,) = chosen(tenant).credentials
    assert let_through(tenant.id, free, 10_000) == 10_000
