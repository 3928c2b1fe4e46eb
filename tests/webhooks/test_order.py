"""Endpoints that are told of everything in order, one call at a time."""

from __future__ import annotations

from uuid import UUID

import pytest

from notifications.webhooks.dispatcher import Dispatcher
from tests.conftest import Persona
from tests.webhooks.conftest import deliveries, publish, time_passes
from tests.webhooks.receiver import Receiver
from tests.webhooks.test_deliver import Deliver, Make

pytestmark = pytest.mark.django_db(transaction=True)


def test_all_events_of_an_endpoint_in_order(
    admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver
) -> None:
    endpoint = make_endpoint(ordered=True, ordered_by="endpoint")
    receiver.stop()
    publish(admin, *(f"user-{n % 7}" for n in range(40)))
    deliver(endpoint)
    assert [row.attempts for row in deliveries(admin)] == [1, *[0] * 39], "the first holds up all others"
    time_passes(admin, minutes=10)
    deliver(endpoint)
    receiver.start()
    time_passes(admin, hours=1)
    another = Dispatcher()
    try:
        another.serve(admin.tenant_id, UUID(endpoint["id"]))
        deliver(endpoint)
        another.serve(admin.tenant_id, UUID(endpoint["id"]), wait=None)
    finally:
        another.close()
    deliver(endpoint)
    numbers = [body["data"]["n"] for body in receiver.verified(endpoint["secret"])]
    assert numbers == list(range(40))


def test_one_that_fails_in_the_middle_holds_up_what_comes_after(
    admin: Persona, receiver: Receiver, make_endpoint: Make, deliver: Deliver
) -> None:
    endpoint, other = make_endpoint(ordered=True, ordered_by="endpoint"), make_endpoint()
    publish(admin, "a")
    deliver(endpoint)
    receiver.status = 500
    publish(admin, "b", "c", "d")
    deliver(endpoint)
    receiver.status = 200
    deliver(other)
    assert [row.attempts for row in deliveries(admin) if str(row.endpoint_id) == endpoint["id"]] == [1, 1, 0, 0]
    assert {row.status for row in deliveries(admin) if str(row.endpoint_id) == other["id"]} == {"delivered"}
    receiver.received.clear()
    time_passes(admin, hours=1)
    deliver(endpoint)
    bodies = receiver.verified(endpoint["secret"])
    assert [body["data"]["userId"] for body in bodies] == ["b", "c", "d"]
