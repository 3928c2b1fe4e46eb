"""A bell in a running service: from a call of the API to a frame on the socket, also over a killed server."""

from __future__ import annotations

import json
import os
import signal

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.running_service import PATIENCE, READY_SECONDS, RunningService, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]


def open_socket(service: RunningService, query: str = "") -> connect:
    ticket = service.call("POST", "/api/v1/auth/ws-ticket").body["ticket"]
    base = service.demo["base_url"].replace("http", "ws", 1)
    return connect(f"{base}/ws/notifications/?ticket={ticket}{query}", open_timeout=PATIENCE)


def next_of(socket: ClientConnection, *kinds: str) -> dict[str, object]:
    while True:
        frame: dict[str, object] = json.loads(socket.recv(timeout=PATIENCE))
        if frame["type"] in kinds:
            return frame


def ring(service: RunningService, user_id: object, title: str) -> str:
    record = {"channel": "inapp", "recipient": user_id, "content": {"title": title}, "lane": "critical"}
    sent = service.call("POST", "/api/notifications/records/", record)
    assert sent.status == 201, sent.body
    return str(sent.body["id"])


def test_the_bell_rings_and_nothing_is_missed(service: RunningService) -> None:
    with open_socket(service) as socket:
        hello = next_of(socket, "hello")
        first = ring(service, hello["user_id"], "One")
        frame = next_of(socket, "notification")
        assert (frame["id"], frame["title"], frame["seq"]) == (first, "One", int(str(hello["seq"])) + 1)
        os.kill(service.pid("web"), signal.SIGKILL)
        with pytest.raises(ConnectionClosed):
            next_of(socket, "notification")
    wait_until(service.answers, READY_SECONDS)
    second, third = ring(service, hello["user_id"], "Two"), ring(service, hello["user_id"], "Three")
    service.wait_for_ends([second, third])
    with open_socket(service, f"&epoch={hello['epoch']}&seq={frame['seq']}") as again:
        assert {next_of(again, "notification")["id"], next_of(again, "notification")["id"]} == {second, third}
        assert next_of(again, "resumed")["count"] == 2
        again.send(json.dumps({"type": "mark_read", "all": True}))
        assert next_of(again, "ack")["unread"] == 0
    assert service.call("GET", "/api/v1/users/me/notifications/unread-count").body["unread"] == 0
    assert service.record(first)["delivery_state"] == "read"
