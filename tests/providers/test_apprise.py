"""Apprise: destinations, the guard around its sockets, and what comes back."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from typing import Any
from uuid import uuid4

import pytest
import requests
from pydantic import ValidationError

from notification_service.lib.net import BlockedAddress, NetworkPolicy
from notifications.providers.apprise import AppriseCredential, AppriseProvider
from notifications.providers.base import FailureReason, OutgoingMessage, SendResult, field_errors
from notifications.providers.socket_guard import SocketGuard
from tests.providers.http_servers import CLOSE, HANG, OddHttpServer, Step, http, odd_http

R = FailureReason
LOCAL = NetworkPolicy.parse(["127.0.0.0/8"])
TOKEN = "tok3n-of-the-webhook-41"
CONTENT = {"title": "Hi", "body": "Hello *you*", "format": "text"}


def credential(urls: Any) -> AppriseCredential:
    return AppriseCredential.model_validate({"urls": urls})


@pytest.fixture(autouse=True)
def _short_time_outs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AppriseProvider, "total_timeout", 2.0)
    monkeypatch.setattr(AppriseProvider, "read_timeout", 1.0)


def talk(
    *script: Step, policy: NetworkPolicy = LOCAL, scheme: str = "mmost", query: str = "", content: Any = CONTENT
) -> tuple[SendResult, OddHttpServer]:
    async def scenario() -> tuple[SendResult, OddHttpServer]:
        async with odd_http(script) as server:
            provider = AppriseProvider(network_policy=policy)
            urls = f"ops={scheme}://127.0.0.1:{server.port}/{TOKEN}{query}"
            result = await provider.send(OutgoingMessage(uuid4(), "ops", content), credential(urls))
            await provider.aclose()
            return result, server

    return asyncio.run(asyncio.wait_for(scenario(), 20))


def test_title_and_body_arrive() -> None:
    result, server = talk(http(200, b"ok"))
    assert (result.accepted, result.response) == (True, "Mattermost took it")
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", f"/hooks/{TOKEN}")
    said = json.loads(request.body)["text"]
    assert "Hi" in said
    assert "Hello *you*" in said


@pytest.mark.parametrize(
    ("script", "reason", "retryable"),
    [
        ([http(400, b"no")], R.CONTENT_ERROR, False),
        ([http(401, b"no")], R.PROVIDER_ERROR, False),
        ([http(404, b"no")], R.PROVIDER_ERROR, False),
        ([http(429, b"no")], R.RATE_LIMITED, True),
        ([http(500, b"<html>")], R.PROVIDER_ERROR, True),
        ([http(503, b"<html>")], R.PROVIDER_ERROR, True),
        ([http(302, b"", Location="http://127.0.0.1:1/")], R.PROVIDER_ERROR, False),
    ],
)
def test_refusals(script: list[Step], reason: FailureReason, retryable: bool) -> None:
    result, server = talk(*script)
    assert (result.accepted, result.reason, result.retryable, result.ambiguous) == (False, reason, retryable, False)
    assert len(server.requests) == 1
    assert TOKEN not in repr(result)


@pytest.mark.parametrize(
    "script",
    [[CLOSE], [HANG], [b"HTTP/1.1 200 OK\r\n", *([b"X: y\r\n", 0.5] * 40)], [b"garbage\r\n\r\n", CLOSE]],
    ids=str,
)
def test_without_an_answer_the_failure_is_ambiguous(script: list[Step]) -> None:
    result, _ = talk(*script)
    assert (result.accepted, result.reason, result.retryable, result.ambiguous) == (False, R.NETWORK_ERROR, True, True)
    assert TOKEN not in repr(result)


def test_a_drip_does_not_keep_its_thread() -> None:
    before = threading.active_count()
    started = time.monotonic()
    talk(b"HTTP/1.1 200 OK\r\n", *([b"X: y\r\n", 0.5] * 100))
    assert time.monotonic() - started < 5
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before


@pytest.mark.parametrize(("scheme", "policy"), [("mmost", NetworkPolicy()), ("mmosts", NetworkPolicy())])
def test_addresses_inside_are_out_of_reach(scheme: str, policy: NetworkPolicy) -> None:
    result, server = talk(http(200, b"ok"), scheme=scheme, policy=policy)
    assert (result.reason, result.retryable, result.ambiguous) == (R.NETWORK_ERROR, False, False)
    assert "not allowed" in result.response
    assert server.connections == 0


def test_a_recipient_is_the_name_of_a_destination() -> None:
    provider = AppriseProvider(network_policy=LOCAL)
    urls = credential(
        f"ops=mmost://127.0.0.1:1/{TOKEN}\n\n sales = x".replace(" sales = x", f"sales=mmost://h/{TOKEN}")
    )
    result = asyncio.run(provider.send(OutgoingMessage(uuid4(), "nobody", CONTENT), urls))
    assert (result.reason, result.retryable) == (R.CONTENT_ERROR, False)
    assert "ops, sales" in result.response


def test_forms_of_the_credential() -> None:
    slack, discord = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", f"discord://{'4' * 18}/{TOKEN * 3}"
    for urls in (
        f"ops={slack}\nsales={discord}",
        [f"ops={slack}", f"sales={discord}"],
        {"ops": slack, "sales": discord},
    ):
        found = credential(urls)
        assert found.destinations() == {"ops": slack, "sales": discord}
        assert TOKEN not in repr(found)
    assert credential(slack).destinations() == {"default": slack}
    native = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    assert credential(native).destinations() == {"default": native}
    check = asyncio.run(AppriseProvider().check(credential({"ops": slack, "sales": discord})))
    assert check.ok
    assert "ops (Slack), sales (Discord)" in check.detail


@pytest.mark.parametrize(
    "urls",
    [
        "", "   ", "nonsense", "ops=", f"ops=nothing://{TOKEN}", [], [TOKEN], 7,
        f"slack://{TOKEN}", f"mailto://user:{TOKEN}@example.com", f"json://127.0.0.1/{TOKEN}", f"syslog://{TOKEN}",
        f"dbus://{TOKEN}", "macosx://", f"twilio://AC0:{TOKEN}@1555/1556", f"https://example.com/{TOKEN}",
        f"mmost://h/{TOKEN}\nmmost://i/{TOKEN}", f"a=mmost://h/{TOKEN}\nA=mmost://i/{TOKEN}",
        f"mmosts://h/{TOKEN}?verify=no", f"mmosts://h/{TOKEN}?redirect=yes", f"mmosts://h/{TOKEN}?rto=9999",
        f"mmosts://h/{TOKEN}?icon_url=http://127.0.0.1/", f"mmosts://h/{TOKEN}?Template=/etc/passwd",
        f"workflows://h/{TOKEN}/sig?template=file:///etc/passwd",
        "\n".join(f"n{number}=mmosts://h/{TOKEN}" for number in range(51)),
    ],
)  # fmt: skip
def test_bad_credentials_name_the_field_and_show_nothing(urls: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        credential(urls)
    assert list(field_errors(caught.value)) == ["urls"]
    assert TOKEN not in str(caught.value)
    assert "passwd" not in str(caught.value)


def test_nothing_of_a_url_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        talk(http(500, TOKEN.encode()))
    assert TOKEN not in caplog.text


# --- the guard -------------------------------------------------------------------------------------------------------


def serve_and(work: Any) -> Any:
    async def scenario() -> Any:
        async with odd_http([http(302, b"", Location="http://127.0.0.2:1/")]) as server:
            return await asyncio.to_thread(work, server.url)

    return asyncio.run(scenario())


def test_guard_judges_redirects_too() -> None:
    only_one = NetworkPolicy.parse(["127.0.0.1/32"])

    def work(url: str) -> SocketGuard:
        with SocketGuard(only_one) as guard, pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=2)
        return guard

    guard = serve_and(work)
    assert (guard.attempted, guard.blocked) == (True, True)


def test_guard_is_of_one_thread_and_ends() -> None:
    def work(url: str) -> int:
        with SocketGuard(NetworkPolicy()), pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=2, allow_redirects=False)
        return requests.get(url, timeout=2, allow_redirects=False).status_code

    assert serve_and(work) == 302


def test_clear_text_goes_to_allowed_networks_only() -> None:
    guard = SocketGuard(NetworkPolicy(), clear_text=True)
    for address in (("93.184.216.34", 80), ("2606:4700::1111", 80, 0, 0), "/tmp/socket", ("name", 80)):
        with pytest.raises(BlockedAddress):
            guard.judge(None, address)  # type: ignore[arg-type]


def test_after_the_cut_nothing_is_opened() -> None:
    def work(url: str) -> None:
        guard = SocketGuard(LOCAL)
        guard.cut()
        with guard, pytest.raises(requests.RequestException):
            requests.get(url, timeout=2)
        assert not guard.attempted

    serve_and(work)
