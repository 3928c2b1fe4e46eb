"""Receivers that fail: what is tried again and when, and how they get everything once they are back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.mail import EmailMessage
from django.utils import timezone
from pytest_django import Settings

from notification_service.lib.redis import attempt
from notification_service.lib.scope import tenant_scope
from notifications.webhooks.models import WebhookDelivery, WebhookEndpoint
from notifications.webhooks.tasks import sweep
from tenants.tasks import mail_admins
from tests.conftest import Persona
from tests.webhooks.conftest import ENDPOINTS, deliveries, load, publish, time_passes
from tests.webhooks.receiver import Receiver
from tests.webhooks.test_deliver import Deliver, Make

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    "order", [{}, {"ordered": True}, {"ordered": True, "ordered_by": "endpoint"}], ids=["none", "key", "endpoint"]
)
@pytest.mark.parametrize("count", [1, 30])
def test_a_receiver_that_was_down_for_an_hour_has_everything_minutes_later(
    admin: Persona,
    receiver: Receiver,
    make_endpoint: Make,
    deliver: Deliver,
    order: dict[str, object],
    count: int,
) -> None:
    endpoint = make_endpoint(**order)
    receiver.stop()
    keys = [f"user-{n % 3}" for n in range(count)]
    publish(admin, *keys)
    for _ in range(60):
        deliver(endpoint)
        time_passes(admin, minutes=1)
    rows = deliveries(admin)
    assert {row.status for row in rows} == {"pending"}
    assert sum(row.attempts for row in rows) < 16 + 30, "a call in a few minutes, whatever waits"
    assert load(admin, endpoint).paused_until is not None, "its circuit is open"
    receiver.start()
    for _ in range(7):
        deliver(endpoint)
        time_passes(admin, minutes=1)
    bodies = receiver.verified(endpoint["secret"])
    assert len(bodies) == count, "nobody waited for a time of its own"
    numbers = [body["data"]["n"] for body in bodies]
    assert "ordered_by" not in order or numbers == list(range(count))
    for key in set(keys) if order else ():
        of_key = [body["data"]["n"] for body in bodies if body["data"]["userId"] == key]
        assert of_key == sorted(of_key)
    found = load(admin, endpoint)
    assert (found.failures, found.paused_until, found.probe_at, found.failing_since) == (0, None, None, None)


def test_after_an_outage_calls_become_more_little_by_little(
    admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver
) -> None:
    endpoint = make_endpoint()
    receiver.status = 500
    publish(admin, *map(str, range(60)))
    for _ in range(20):
        deliver(endpoint)
        time_passes(admin, minutes=6)
    receiver.received.clear()
    receiver.status, receiver.seconds = 200, 0.2  # long enough for others to come meanwhile, on a busy machine too
    deliver(endpoint)
    beside = [each.beside for each in receiver.received]
    assert len(beside) == 60
    assert max(beside[:4]) <= 1, "first one by one"
    assert 4 <= max(beside) < 16, "then more, and never more than it may get"


def test_probes_use_up_no_attempt_and_retries_end_after_days(
    admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver, settings: Settings
) -> None:
    assert 3 * 86_400 < sum(settings.WEBHOOK_RETRY_SECONDS) < 4 * 86_400
    endpoint = make_endpoint()
    receiver.status = 500
    publish(admin, "a")
    for _ in range(3 * 24 * 4):
        deliver(endpoint)
        time_passes(admin, minutes=15)
    (row,) = deliveries(admin)
    assert row.status == "pending"
    assert row.attempts > 200
    assert len(row.log) == 100
    numbers = [entry["number"] for entry in row.log]
    assert numbers == [1, *range(row.attempts - 98, row.attempts + 1)], "the first, and the latest"
    time_passes(admin, days=1)
    deliver(endpoint)
    (row,) = deliveries(admin)
    assert (row.status, row.response_status) == ("failed", 500)
    receiver.status = 200
    admin.client.post(f"/api/v1/webhooks/deliveries/{row.id}/replay")
    time_passes(admin, minutes=6)
    deliver(endpoint)
    assert [row.status for row in deliveries(admin)] == ["delivered"]


def test_a_delivery_that_fails_beside_others_is_retried_on_its_own_clock(
    admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver, settings: Settings
) -> None:
    endpoint = make_endpoint()
    receiver.refuses = {"bad"}
    publish(admin, "bad")
    waits = []
    while True:
        deliver(endpoint)
        publish(admin, "good")
        deliver(endpoint)
        bad = deliveries(admin)[0]
        if bad.status != "pending":
            break
        waits.append((bad.due_at - timezone.now()).total_seconds())
        time_passes(admin, seconds=waits[-1])
    assert (bad.status, bad.attempts) == ("failed", 10)
    for wait, asked in zip(waits, settings.WEBHOOK_RETRY_SECONDS, strict=True):
        assert asked * 0.8 - 2 < wait <= asked * 1.2
    assert [entry["number"] for entry in bad.log] == list(range(1, 11))
    assert {entry["status"] for entry in bad.log} == {500}
    assert {row.status for row in deliveries(admin)[1:]} == {"delivered"}


def test_what_always_fails_keeps_nothing_else_from_a_probe(
    admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver
) -> None:
    endpoint = make_endpoint()
    receiver.refuses = {"bad"}
    publish(admin, "bad")
    for _ in range(12):
        deliver(endpoint)
        time_passes(admin, minutes=5)
    assert load(admin, endpoint).is_open
    time_passes(admin, minutes=-5)
    publish(admin, "good")
    deliver(endpoint)
    assert deliveries(admin)[1].status == "pending", "nobody calls between probes"
    time_passes(admin, minutes=6)
    deliver(endpoint)
    assert [row.status for row in deliveries(admin)] == ["pending", "delivered"]


def test_the_sweeper_finds_a_probe_whose_time_has_come(
    admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver
) -> None:
    def tokens() -> int:
        attempt(lambda client: client.flushdb())
        sweep()
        return int(attempt(lambda client: client.llen("control")))

    endpoint = make_endpoint()
    receiver.status = 500
    publish(admin, *"abcde")
    deliver(endpoint)
    time_passes(admin, seconds=7)
    assert tokens() == 0, "its circuit is open, whatever is due"
    with tenant_scope(admin.tenant_id):
        WebhookDelivery.objects.update(due_at=timezone.now() + timedelta(hours=1))
    time_passes(admin, seconds=12)
    assert tokens() == 1
    with tenant_scope(admin.tenant_id):
        WebhookDelivery.objects.update(not_before=timezone.now() + timedelta(minutes=1))
    assert tokens() == 0, "the receiver asked for more time"


def test_retry_after_is_honoured(admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver) -> None:
    endpoint = make_endpoint()
    receiver.status, receiver.headers = 429, {"Retry-After": "3600"}
    publish(admin, "a")
    deliver(endpoint)
    publish(admin, "b")
    deliver(endpoint)
    assert len(receiver.received) == 1, "nobody calls before the time"
    (first, _) = deliveries(admin)
    soon = timezone.now() + timedelta(minutes=59)
    assert first.due_at > soon
    paused = load(admin, endpoint).paused_until
    assert paused is not None
    assert paused > soon


def test_a_release_leaves_out_what_the_receiver_wants_later(
    admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver
) -> None:
    endpoint = make_endpoint()
    receiver.status, receiver.headers = 500, {"Retry-After": "7200"}
    publish(admin, "later")
    deliver(endpoint)
    receiver.headers = {}
    publish(admin, "now")
    deliver(endpoint)
    time_passes(admin, minutes=1)
    receiver.status = 200
    deliver(endpoint)
    assert [row.status for row in deliveries(admin)] == ["pending", "delivered"]
    time_passes(admin, hours=2)
    deliver(endpoint)
    assert [row.status for row in deliveries(admin)] == ["delivered", "delivered"]


def test_what_was_under_way_does_not_end_the_time_that_was_asked_for(
    admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver
) -> None:
    endpoint = make_endpoint()
    receiver.seconds = 0.5
    publish(admin, "slow")
    deliver(endpoint, wait=0)
    receiver.hears(1)
    receiver.seconds, receiver.status, receiver.headers = 0.0, 429, {"Retry-After": "60"}
    publish(admin, "refused")
    deliver(endpoint)
    publish(admin, "waits")
    deliver(endpoint)
    assert [row.status for row in deliveries(admin)] == ["delivered", "pending", "pending"]
    assert len(receiver.received) == 2


def test_days_of_failure_disable(
    admin: Persona,
    receiver: Receiver,
    make_endpoint: Make,
    deliver: Deliver,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    mailoutbox: list[EmailMessage],
) -> None:
    settings.EMAIL_URL = "smtp://127.0.0.1:1"  # that there is one; django.core.mail keeps what tests send
    monkeypatch.setattr(mail_admins, "delay", mail_admins)
    endpoint = make_endpoint()
    receiver.status = 500
    publish(admin, "a")
    deliver(endpoint)
    with tenant_scope(admin.tenant_id):
        days = timedelta(days=settings.WEBHOOK_DISABLE_DAYS + 1)
        WebhookEndpoint.objects.update(failing_since=timezone.now() - days)
    time_passes(admin, minutes=1)
    deliver(endpoint)
    found = load(admin, endpoint)
    assert (found.enabled, found.disabled_reason) == (False, "failing")
    (mail,) = mailoutbox
    assert mail.to == [admin.user.email]
    assert receiver.url() in str(mail.body)
    answer = admin.client.patch(f"{ENDPOINTS}/{endpoint['id']}", {"enabled": True}).json()
    assert (answer["enabled"], answer["disabled_reason"], answer["failing_since"]) == (True, "", None)


def test_a_failure_long_ago_does_not_disable(
    admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver
) -> None:
    endpoint = make_endpoint()
    receiver.status = 500
    publish(admin, "a")
    deliver(endpoint)
    with tenant_scope(admin.tenant_id):
        WebhookDelivery.objects.all().delete()
    time_passes(admin, days=7)
    publish(admin, "b")
    deliver(endpoint)
    assert load(admin, endpoint).enabled, "it has failed once today, and nothing was tried in between"
