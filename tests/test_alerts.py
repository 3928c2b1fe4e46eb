"""Operators hear once that a part fails, and once that it works again."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.core.mail import EmailMessage
from django.utils import timezone
from pytest_django.fixtures import Settings

from notification_service import asgi
from notification_service.alerts import Watcher, examine_queues
from notification_service.lib import redis as lib_redis
from notification_service.lib.heartbeat import beat
from notification_service.lib.ids import id_floor, new_id
from notification_service.lib.redis import attempt
from notification_service.lib.scope import tenant_scope
from notifications.records.models import NotificationRecord
from tenants.models import Tenant

# The checks run in threads of their own, with connections of their own.
pytestmark = pytest.mark.django_db(transaction=True)

OPERATORS = ["ops@platform.example", "night@platform.example"]


@pytest.fixture(autouse=True)
def _operators(settings: Settings) -> None:
    """Everything works, and somebody wants to know when it does not."""
    settings.OPERATOR_EMAILS = OPERATORS
    settings.EMAIL_URL = "smtp://127.0.0.1:1"  # that there is one; django.core.mail keeps what tests send
    beat("worker")
    beat("beat")


@pytest.fixture
def redis_away(settings: Settings) -> Iterator[Callable[[bool], None]]:
    """Take Redis away, and give it back."""
    there = settings.REDIS_URL

    def away(is_away: bool) -> None:
        settings.REDIS_URL = "redis://127.0.0.1:1/0" if is_away else there
        lib_redis.connection.cache_clear()
        lib_redis._breaker.succeeded()

    yield away
    away(False)


def silence(part: str) -> None:
    attempt(lambda client: client.delete(f"heartbeat:{part}"))


def test_everything_works_and_nobody_is_told(mailoutbox: list[EmailMessage]) -> None:
    watcher = Watcher()
    for _ in range(3):
        watcher.check()
    assert mailoutbox == []


def test_a_part_fails_and_works_again(mailoutbox: list[EmailMessage], caplog: pytest.LogCaptureFixture) -> None:
    watcher = Watcher()
    silence("worker")
    watcher.check()
    assert mailoutbox == []  # once may be chance
    with caplog.at_level(logging.ERROR):
        watcher.check()
    [line] = [record for record in caplog.records if "operator_alert" in str(record.msg)]
    assert "worker" in str(line.msg)
    assert "never heard of" in str(line.msg)
    [mail] = mailoutbox
    assert (mail.to, mail.subject) == (OPERATORS, "Not working: worker")
    assert "- worker: never heard of" in mail.body
    watcher.check()
    assert len(mailoutbox) == 1
    beat("worker")
    watcher.check()
    watcher.check()
    assert [mail.subject for mail in mailoutbox[1:]] == ["Works again: worker"]
    silence("worker")
    watcher.check()
    watcher.check()
    assert [mail.subject for mail in mailoutbox[2:]] == ["Not working: worker"]


def test_one_success_in_between_starts_the_count_anew(mailoutbox: list[EmailMessage]) -> None:
    watcher = Watcher()
    for _ in range(2):
        silence("beat")
        watcher.check()
        beat("beat")
        watcher.check()
    assert mailoutbox == []


def test_several_web_processes_send_one_mail(mailoutbox: list[EmailMessage]) -> None:
    processes = [Watcher(), Watcher(), Watcher()]
    silence("worker")
    for _ in range(3):
        for watcher in processes:
            watcher.check()
    assert [mail.subject for mail in mailoutbox] == ["Not working: worker"]
    beat("worker")
    for watcher in processes:
        watcher.check()
    assert [mail.subject for mail in mailoutbox] == ["Not working: worker", "Works again: worker"]


def test_a_process_that_starts_anew_repeats_nothing_and_ends_what_was_told(mailoutbox: list[EmailMessage]) -> None:
    silence("worker")
    first = Watcher()
    first.check()
    first.check()
    second = Watcher()
    second.check()
    second.check()
    assert len(mailoutbox) == 1
    beat("worker")
    Watcher().check()
    assert [mail.subject for mail in mailoutbox[1:]] == ["Works again: worker"]


def test_redis_is_away(mailoutbox: list[EmailMessage], redis_away: Callable[[bool], None]) -> None:
    watcher = Watcher()
    watcher.check()
    redis_away(True)
    for _ in range(3):
        watcher.check()
    [mail] = mailoutbox
    assert mail.subject == "Not working: redis, worker, beat"
    assert "127.0.0.1" not in mail.body
    redis_away(False)
    watcher.check()
    assert [mail.subject for mail in mailoutbox[1:]] == ["Works again: redis, worker, beat"]


def test_a_mail_that_could_not_be_sent_is_sent_later(
    mailoutbox: list[EmailMessage], settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    watcher, here = Watcher(), settings.EMAIL_BACKEND
    settings.EMAIL_BACKEND, settings.EMAIL_PORT = "django.core.mail.backends.smtp.EmailBackend", 1
    silence("worker")
    watcher.check()
    watcher.check()
    assert "operator_mail_failed" in caplog.text
    settings.EMAIL_BACKEND = here
    watcher.check()
    assert [mail.subject for mail in mailoutbox] == ["Not working: worker"]


@pytest.mark.parametrize("setting", ["OPERATOR_EMAILS", "EMAIL_URL"])
def test_nobody_to_mail(
    mailoutbox: list[EmailMessage], settings: Settings, caplog: pytest.LogCaptureFixture, setting: str
) -> None:
    setattr(settings, setting, "")
    silence("worker")
    watcher = Watcher()
    watcher.check()
    watcher.check()
    assert mailoutbox == []
    assert "operator_alert" in caplog.text


def waiting(tenant: Tenant, lane: str, due_in: timedelta, **fields: Any) -> UUID:
    now = timezone.now()
    with tenant_scope(tenant.id):
        record = NotificationRecord.objects.create(
            id=new_id(),
            tenant=tenant,
            channel="email",
            recipient="ada@example.com",
            lane=lane,
            due_at=now + due_in,
            expires_at=now + timedelta(days=1),
            created_at=now,
            updated_at=now,
            **fields,
        )
    return record.id


def test_messages_that_nobody_sends(
    tenant: Tenant, other_tenant: Tenant, mailoutbox: list[EmailMessage], settings: Settings
) -> None:
    settings.QUEUE_AGE_ALERT_SECONDS = 60
    waiting(tenant, "bulk", timedelta(minutes=-3))
    waiting(other_tenant, "bulk", timedelta(minutes=-4))
    waiting(tenant, "normal", timedelta(seconds=-10))
    waiting(tenant, "normal", timedelta(hours=1))
    waiting(tenant, "critical", timedelta(hours=-1), status="success")
    found = examine_queues()
    assert {part: part_found["ok"] for part, part_found in found.items()} == {
        "queue critical": True,
        "queue normal": True,
        "queue bulk": False,
    }
    assert found["queue bulk"]["detail"] == "the oldest due message has waited for 240 s"
    watcher = Watcher()
    watcher.check()
    watcher.check()
    assert [mail.subject for mail in mailoutbox] == ["Not working: queue bulk"]


@pytest.mark.parametrize(("lane", "fine"), [("bulk", True), ("normal", False)])
def test_a_long_campaign_that_is_being_sent_is_no_trouble(
    tenant: Tenant, settings: Settings, lane: str, fine: bool
) -> None:
    settings.QUEUE_AGE_ALERT_SECONDS = 60
    waiting(tenant, lane, timedelta(minutes=-30))
    lease = {"status": "sending", "lease_until": timezone.now() + timedelta(seconds=30)}
    waiting(tenant, lane, timedelta(0), **lease, lease_token=id_floor(timezone.now() - timedelta(minutes=5)))
    assert not examine_queues()[f"queue {lane}"]["ok"]
    waiting(tenant, lane, timedelta(0), **lease, lease_token=id_floor(timezone.now() - timedelta(seconds=5)))
    assert examine_queues()[f"queue {lane}"]["ok"] is fine


def watchers_at_work() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "alerts"]


async def _live() -> list[int]:
    """Start and stop the web server's application; return how many watchers there were, in between and after."""
    seen: list[int] = []
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> dict[str, str]:
        return next(messages)

    async def send(message: dict[str, str]) -> None:
        seen.append(len(watchers_at_work()))

    await asgi.application({"type": "lifespan"}, receive, send)
    return seen


def test_the_web_server_watches(settings: Settings) -> None:
    settings.ALERT_CHECK_SECONDS = 0.01
    before = len(watchers_at_work())
    assert asyncio.run(_live())[0] == before + 1
    for thread in watchers_at_work():
        thread.join(timeout=10)
    assert watchers_at_work() == []


def test_the_web_server_may_be_told_not_to(settings: Settings) -> None:
    settings.ALERT_CHECK_SECONDS = 0
    assert asyncio.run(_live()) == [0, 0]
