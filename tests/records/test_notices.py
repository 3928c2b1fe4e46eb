"""A channel that keeps failing: its tenant's admins hear of it once, and outcomes never wait for that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from pytest_django.fixtures import Settings

from notification_service.lib import redis as lib_redis
from notification_service.lib.redis import attempt
from notification_service.lib.scope import tenant_scope
from notifications.records import counters, notices
from notifications.records.engine import Engine
from tenants.models import AuditLog, Tenant
from tenants.tasks import mail_admins
from tests.conftest import Persona
from tests.records.conftest import load

pytestmark = pytest.mark.django_db(transaction=True)

Post = Callable[..., UUID]
BAD = "fail-permanent@example.com"


@pytest.fixture(autouse=True)
def _three_are_many(settings: Settings) -> None:
    settings.FAILURE_NOTICE_COUNT = 3


def told(tenant: Tenant) -> list[dict[str, Any]]:
    with tenant_scope(tenant.id):
        entries = AuditLog.objects.filter(action="delivery.failing").order_by("id")
        return list(entries.values_list("metadata", flat=True))


def test_one_notice_for_many_failures(
    admin: Persona, posted: Post, engine: Engine, settings: Settings, mailoutbox: list[Any], monkeypatch: Any
) -> None:
    settings.EMAIL_URL = "smtp://127.0.0.1:1"  # that there is one; django.core.mail keeps what tests send
    monkeypatch.setattr(mail_admins, "delay", mail_admins)
    for _ in range(2):
        posted(recipient=BAD)
    engine.drain(admin.tenant_id, "normal")
    assert told(admin.tenant) == []
    for _ in range(4):
        posted(recipient=BAD)
        engine.drain(admin.tenant_id, "normal")
    [entry] = told(admin.tenant)
    assert entry == {"failed": 3, "reasons": entry["reasons"], "window_seconds": 600}
    assert sum(entry["reasons"].values()) == 3
    [mail] = mailoutbox
    assert (mail.to, "email" in mail.subject) == ([admin.user.email], True)
    assert f"- {next(iter(entry['reasons']))}: 3" in mail.body


def test_after_the_pause_there_is_another_notice(admin: Persona, posted: Post, engine: Engine) -> None:
    for _ in range(3):
        posted(recipient=BAD)
    engine.drain(admin.tenant_id, "normal")
    assert attempt(lambda client: client.delete(f"tenant:{admin.tenant_id}:failures:email:told")) == 1
    posted(recipient=BAD)
    engine.drain(admin.tenant_id, "normal")
    assert [entry["failed"] for entry in told(admin.tenant)] == [3, 4]


def test_failures_of_long_ago_do_not_count(admin: Persona, posted: Post, engine: Engine) -> None:
    key = f"tenant:{admin.tenant_id}:failures:email"
    attempt(lambda client: client.hset(key, "1:provider_error", "100"))
    posted(recipient=BAD)
    engine.drain(admin.tenant_id, "normal")
    assert told(admin.tenant) == []
    assert not attempt(lambda client: client.hexists(key, "1:provider_error"))


def test_each_tenant_and_channel_by_itself(tenant: Tenant, other_tenant: Tenant) -> None:
    for one, channel in ((tenant, "email"), (tenant, "sms"), (other_tenant, "email")):
        notices._count(one.id, channel, {"provider_error": 2})
    assert told(tenant) + told(other_tenant) == []
    notices._count(tenant.id, "sms", {"network_error": 1})
    assert [entry["reasons"] for entry in told(tenant)] == [{"network_error": 1, "provider_error": 2}]
    assert told(other_tenant) == []


def test_what_succeeds_is_no_failure(admin: Persona, posted: Post, engine: Engine) -> None:
    for _ in range(4):
        posted()
    engine.drain(admin.tenant_id, "normal")
    assert told(admin.tenant) == []


def test_outcomes_are_counted_by_kind(admin: Persona, posted: Post, engine: Engine) -> None:
    posted()
    bad = posted(recipient=BAD)
    engine.drain(admin.tenant_id, "normal")
    reason = load(admin.tenant, bad).failure_reason
    assert counters.outcome_counts() == {("email", "success", ""): 1, ("email", "failed", reason): 1}


@pytest.fixture
def no_redis(settings: Settings) -> Iterator[None]:
    there = settings.REDIS_URL
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    lib_redis.connection.cache_clear()
    yield
    settings.REDIS_URL = there
    lib_redis.connection.cache_clear()
    lib_redis._breaker.succeeded()


def test_without_redis_there_are_outcomes_and_no_notice(
    admin: Persona, posted: Post, engine: Engine, request: pytest.FixtureRequest
) -> None:
    ids = [posted(recipient=BAD) for _ in range(4)]
    request.getfixturevalue("no_redis")
    engine.drain(admin.tenant_id, "normal")
    assert {load(admin.tenant, record_id).status for record_id in ids} == {"failed"}
    assert told(admin.tenant) == []


def test_a_notice_that_could_not_be_written_is_given_later(tenant: Tenant) -> None:
    gone = uuid4()
    notices._count(gone, "email", {"provider_error": 3})  # the audit row has no tenant to belong to
    assert not attempt(lambda client: client.exists(f"tenant:{gone}:failures:email:told"))
    notices._count(tenant.id, "email", {"provider_error": 3})
    assert len(told(tenant)) == 1
