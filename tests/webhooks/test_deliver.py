"""From something that happens to a receiver that has verified it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.utils import timezone
from pytest_django import Settings
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from notification_service.lib.redis import attempt
from notification_service.lib.scope import tenant_scope
from notifications.webhooks.dispatcher import Dispatcher
from notifications.webhooks.models import WebhookDelivery, WebhookEndpoint
from notifications.webhooks.tasks import sweep
from tenants.models import AuditLog
from tests.conftest import Persona
from tests.webhooks.conftest import DELIVERIES, ENDPOINTS, deliveries, load, publish, time_passes
from tests.webhooks.receiver import Receiver

pytestmark = pytest.mark.django_db(transaction=True)

Make = Callable[..., dict[str, Any]]
Deliver = Callable[..., None]


def test_the_reference_library_verifies_what_arrives(
    admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver
) -> None:
    endpoint = make_endpoint()
    assert publish(admin, "crm-17") == 1
    deliver(endpoint)
    (body,) = receiver.verified(endpoint["secret"])
    assert body["type"] == body["event"] == "user.registered"
    assert (body["projectId"], body["data"]) == (str(admin.tenant_id), {"userId": "crm-17", "n": 0})
    (request,) = receiver.received
    (row,) = deliveries(admin)
    assert request.headers["webhook-id"] == row.webhook_id
    assert (row.status, row.attempts, row.response_status) == ("delivered", 1, 204)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(bytes(32)).decode()).verify(request.body, request.headers)


def test_an_endpoint_gets_what_it_asks_for(
    admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver
) -> None:
    endpoint = make_endpoint(event_types=["campaign.completed"])
    assert publish(admin, "a") == 0
    assert publish(admin, "b", kind="campaign.completed") == 1
    deliver(endpoint)
    assert [body["type"] for body in receiver.verified(endpoint["secret"])] == ["campaign.completed"]


def test_after_a_rotation_both_secrets_verify_for_a_while(
    admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver
) -> None:
    endpoint = make_endpoint()
    rotated = admin.client.post(f"{ENDPOINTS}/{endpoint['id']}/rotate-secret", {"overlap_hours": 2}).json()
    assert rotated["secret"].startswith("whsec_")
    assert rotated["secret"] != endpoint["secret"]
    publish(admin, "a")
    deliver(endpoint)
    receiver.verified(endpoint["secret"])
    receiver.verified(rotated["secret"])
    with tenant_scope(admin.tenant_id):
        WebhookEndpoint.objects.update(previous_secret_until=timezone.now() - timedelta(seconds=1))
    receiver.received.clear()
    publish(admin, "b")
    deliver(endpoint)
    receiver.verified(rotated["secret"])
    with pytest.raises(WebhookVerificationError):
        receiver.verified(endpoint["secret"])


def test_ed25519(admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver) -> None:
    endpoint = make_endpoint(scheme="v1a")
    assert endpoint["secret"].startswith("whpk_"), "the private key is never shown"
    publish(admin, "a")
    deliver(endpoint)
    (request,) = receiver.received
    version, _, signature = request.headers["webhook-signature"].partition(",")
    assert version == "v1a"
    content = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(endpoint["secret"].removeprefix("whpk_")))
    key.verify(base64.b64decode(signature), content)
    with pytest.raises(InvalidSignature):
        key.verify(base64.b64decode(signature), content + b" ")


def test_older_receivers_get_their_header(
    admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver
) -> None:
    endpoint = make_endpoint(legacy_header="X-Webhook-Signature")
    publish(admin, "a")
    deliver(endpoint)
    (request,) = receiver.received
    expected = hmac.new(endpoint["secret"].encode(), request.body, hashlib.sha256).hexdigest()
    assert request.headers["x-webhook-signature"] == f"sha256={expected}"


def test_without_order_one_that_fails_holds_nobody_up(
    admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver
) -> None:
    ordered, free = make_endpoint(ordered=True), make_endpoint()
    receiver.status = 500
    publish(admin, "same", "same")
    deliver(ordered)
    deliver(free)
    attempts = {(str(row.endpoint_id), row.attempts) for row in deliveries(admin)}
    assert attempts == {(ordered["id"], 1), (ordered["id"], 0), (free["id"], 1)}


def test_410_disables(admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver) -> None:
    endpoint = make_endpoint(ordered=True)
    receiver.status = 410
    publish(admin, "same", "same")
    deliver(endpoint)
    found = load(admin, endpoint)
    assert (found.enabled, found.disabled_reason) == (False, "gone")
    assert len(receiver.received) == 1
    assert [row.status for row in deliveries(admin)][1] == "cancelled"
    assert publish(admin, "later") == 0
    with tenant_scope(admin.tenant_id):
        assert AuditLog.objects.filter(action="webhook_endpoint.disabled").count() == 1


def test_one_that_hangs_delays_nobody(
    admin: Persona,
    receiver: Receiver,
    make_endpoint: Make,
    dispatcher: Dispatcher,
    deliver: Deliver,
    settings: Settings,
) -> None:
    settings.WEBHOOK_CONCURRENCY = 4
    settings.WEBHOOK_TIMEOUT_SECONDS = 5.0  # longer than the good one takes for all of its calls
    hanging = Receiver(hangs=True)
    hanging.start()
    try:
        bad, good = make_endpoint(url=hanging.url()), make_endpoint()
        publish(admin, *map(str, range(20)))
        deliver(bad, wait=0)
        deliver(good)
        assert len(receiver.received) == 20
        assert len(hanging.received) <= 4, "its own places are all that it fills"
        deliver(bad)
        found = load(admin, bad)
        assert found.paused_until is not None, "then nobody calls it for a while"
        assert len(hanging.received) <= 8
        errors = {row.error for row in deliveries(admin) if str(row.endpoint_id) == bad["id"] and row.attempts}
        assert errors == {"time-out: no answer in time"}
    finally:
        hanging.hangs = False
        hanging.stop()


def test_a_lost_worker_is_replaced(admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver) -> None:
    endpoint = make_endpoint()
    publish(admin, "a")
    with tenant_scope(admin.tenant_id):
        lapsed = timezone.now() - timedelta(seconds=1)
        WebhookDelivery.objects.update(status="sending", attempts=1, due_at=lapsed)
    deliver(endpoint)
    (row,) = deliveries(admin)
    assert (row.status, row.attempts) == ("delivered", 2)


def test_the_sweeper_finds_what_has_no_token(admin: Persona, make_endpoint: Make) -> None:
    make_endpoint()
    publish(admin, "a")
    attempt(lambda client: client.flushdb())
    sweep()
    assert attempt(lambda client: client.llen("control")) == 1


def test_answers_are_kept_up_to_their_limit(
    admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver
) -> None:
    endpoint = make_endpoint()
    receiver.status, receiver.text = 200, "é" * 300_000
    publish(admin, "a")
    deliver(endpoint)
    (row,) = deliveries(admin)
    assert row.status == "delivered"
    assert 19_000 < len(row.response_body.encode()) <= 20_000


def test_redirects_are_refused(admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver) -> None:
    endpoint = make_endpoint()
    receiver.status, receiver.headers = 302, {"Location": receiver.url("/elsewhere")}
    publish(admin, "a")
    deliver(endpoint)
    assert [each.path for each in receiver.received] == ["/hook"]
    (row,) = deliveries(admin)
    assert (row.status, row.error) == ("pending", "answered 302; redirects are not followed")


@pytest.mark.parametrize("host", ["localhost", "127.1", "0x7f000001", "2130706433", "[::ffff:127.0.0.1]"])
def test_private_addresses_are_refused_when_connecting(
    admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver, settings: Settings, host: str
) -> None:
    endpoint = make_endpoint()
    with tenant_scope(admin.tenant_id):
        url = f"https://{host}:{receiver.port}/hook"
        WebhookEndpoint.objects.update(url=url)
    settings.OUTBOUND_ALLOWED_NETWORKS = []
    publish(admin, "a")
    deliver(endpoint)
    (row,) = deliveries(admin)
    assert (row.status, row.error) == ("pending", "the address is not allowed: it is not public")
    assert receiver.received == []


def test_replay(admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver) -> None:
    endpoint = make_endpoint()
    publish(admin, "a")
    deliver(endpoint)
    (row,) = deliveries(admin)
    answer = admin.client.post(f"{DELIVERIES}/{row.id}/replay")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert admin.client.post(f"{DELIVERIES}/{row.id}/replay").status_code == 409
    deliver(endpoint)
    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


def test_replay_of_a_time(admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver) -> None:
    endpoint = make_endpoint(ordered=True)
    receiver.status = 410
    publish(admin, "a", "b", "c")
    deliver(endpoint)
    address = f"{ENDPOINTS}/{endpoint['id']}"
    since = {"since": (timezone.now() - timedelta(hours=1)).isoformat()}
    assert admin.client.post(f"{address}/replay", since).json()["code"] == "endpoint_disabled"
    admin.client.patch(address, {"enabled": True})
    receiver.status = 200
    receiver.received.clear()
    answer = admin.client.post(f"{address}/replay", {**since, "statuses": ["cancelled", "failed"]})
    again = answer.json()["replayed"]
    assert answer.status_code == 202
    time_passes(admin, minutes=1)
    deliver(endpoint)
    assert {row.status for row in deliveries(admin)} == {"delivered"}
    assert again <= 3 == len(receiver.received)
    later = {"since": (timezone.now() + timedelta(hours=1)).isoformat()}
    assert "since" in admin.client.post(f"{address}/replay", later).json()["errors"]


def test_test(admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver) -> None:
    endpoint = make_endpoint(event_types=["campaign.completed"])
    answer = admin.client.post(f"{ENDPOINTS}/{endpoint['id']}/test")
    assert answer.status_code == 202
    deliver(endpoint)
    assert [body["type"] for body in receiver.verified(endpoint["secret"])] == ["webhook.test"]
    shown = admin.client.get(f"{DELIVERIES}/{answer.json()['id']}").json()
    assert shown["request"]["body"] == json.loads(receiver.received[0].body)
    assert shown["request"]["headers"]["webhook-id"] == receiver.received[0].headers["webhook-id"]
    assert shown["response"]["status"] == 204
    assert [entry["status"] for entry in shown["attempt_log"]] == [204]


def test_what_was_under_way_when_an_endpoint_was_disabled_is_not_tried_again(
    admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver
) -> None:
    endpoint = make_endpoint()
    receiver.status, receiver.hangs = 500, True
    publish(admin, "a")
    deliver(endpoint, wait=0)
    receiver.hears(1)
    admin.client.patch(f"{ENDPOINTS}/{endpoint['id']}", {"enabled": False})
    receiver.hangs = False
    deliver(endpoint)
    (row,) = deliveries(admin)
    assert (row.status, row.response_status) == ("cancelled", 500)
