"""The shared base of the providers over HTTP: one name for whatever the network or the other side does."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import TypeAdapter, ValidationError

from notification_service.lib.net import NetworkPolicy
from notifications.providers.base import CredentialSchema, FailureReason, OutgoingMessage, Secret, SendResult
from notifications.providers.http import (
    MAX_ANSWER,
    MAX_RETRY_AFTER,
    BaseUrl,
    HttpAnswer,
    HttpError,
    HttpProvider,
    redact,
    refusal,
    secret_forms,
)
from tests.providers.http_servers import CLOSE, HANG, RESET, Step, http, odd_http

R = FailureReason
LOCAL = NetworkPolicy.parse(["127.0.0.0/8"])


class Key(CredentialSchema):
    key: Secret


class Plain(HttpProvider[Key]):
    """The smallest provider."""

    key: ClassVar[str] = "plain"
    label: ClassVar[str] = "Plain"
    channel: ClassVar[str] = "sms"
    schema: ClassVar[type[CredentialSchema]] = Key
    connect_timeout: ClassVar[float] = 0.4
    total_timeout: ClassVar[float] = 0.6

    async def send(self, message: OutgoingMessage, credential: Key) -> SendResult:
        raise NotImplementedError


async def post(url: str, policy: NetworkPolicy = LOCAL, **options: Any) -> HttpAnswer:
    provider = Plain(network_policy=policy)
    try:
        return await provider.request("POST", url, body=b"{}", **options)
    finally:
        await provider.aclose()


async def scripted(*script: Step) -> HttpAnswer:
    async with odd_http(script) as server:
        return await post(server.url)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ([CLOSE], "closed the connection"),
        ([RESET], "reset by peer"),
        ([HANG], "time-out while waiting"),
        ([b"HTTP/1.1 200 OK\r\n", CLOSE], "closed the connection"),
        ([b"garbage\r\n\r\n", CLOSE], "not HTTP"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", CLOSE], "closed the connection"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", *([b"x", 0.1] * 60)], "time-out while waiting"),
        ([b"HTTP/1.1 200 OK\r\n", *([b"X: y\r\n", 0.1] * 60)], "time-out while waiting"),
        ([http(200, b"x" * (MAX_ANSWER + 1))], "larger than"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n" + b"x" * (MAX_ANSWER * 2), HANG], "larger than"),
    ],
    ids=str,
)
def test_without_an_answer_to_a_written_request_the_failure_is_ambiguous(
    run: Any, script: list[Step], words: str
) -> None:
    with pytest.raises(HttpError, match=words) as caught:
        run(scripted(*script))
    assert (caught.value.reason, caught.value.retryable, caught.value.ambiguous) == (R.NETWORK_ERROR, True, True)


@pytest.mark.parametrize(
    "script",
    [
        [b"HTTP/1.1 503 No\r\nContent-Length: 100\r\n\r\nhalf", CLOSE],
        [b"HTTP/1.1 503 No\r\nContent-Length: 100\r\n\r\n", HANG],
        [http(503, b"x" * (MAX_ANSWER + 1))],
    ],
)
def test_a_refusal_whose_body_breaks_off_is_still_a_refusal(run: Any, script: list[Step]) -> None:
    answer = run(scripted(*script))
    assert (answer.status, answer.body, answer.ok) == (503, b"", False)


@pytest.mark.parametrize(
    ("url", "policy", "words", "retryable"),
    [
        ("http://127.0.0.1:1", LOCAL, "refused", True),
        ("https://no-such-host.invalid", LOCAL, "does not resolve", True),
        ("http://127.0.0.1:1", NetworkPolicy(), "address is not allowed", False),
        ("https://127.0.0.1:1", NetworkPolicy(), "address is not allowed", False),
        ("https://localhost:1", NetworkPolicy(), "address is not allowed", False),
        ("https://[::1]:1", NetworkPolicy(), "address is not allowed", False),
        ("https://[::ffff:127.0.0.1]:1", NetworkPolicy(), "address is not allowed", False),
        ("https://169.254.169.254/latest", NetworkPolicy(), "address is not allowed", False),
        ("https://2130706433/", NetworkPolicy(), "not allowed|not valid", False),
        ("https://0x7f000001/", NetworkPolicy(), "not allowed|not valid", False),
        ("http://93.184.216.34/", LOCAL, "use https", False),
        ("https://a b/", LOCAL, "not valid|does not resolve", None),
    ],
)
def test_before_a_connection_nothing_is_ambiguous(
    run: Any, url: str, policy: NetworkPolicy, words: str, retryable: bool | None
) -> None:
    with pytest.raises(HttpError, match=words) as caught:
        run(post(url, policy))
    assert caught.value.reason == R.NETWORK_ERROR
    assert not caught.value.ambiguous
    assert retryable is None or caught.value.retryable is retryable


def test_a_certificate_that_does_not_verify_is_for_good(run: Any, certificate: tuple[Path, ssl.SSLContext]) -> None:
    async def scenario() -> None:
        async with odd_http([http(200, {})], tls=certificate[1]) as server:
            with pytest.raises(HttpError, match="certificate is not valid") as caught:
                await post(server.url)
            assert not caught.value.retryable
            assert not caught.value.ambiguous
            assert server.requests == []

    run(scenario())


def test_tls_to_a_server_that_has_none(run: Any) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(5)
        writer.write(http(400, b"speak HTTP"))
        await writer.drain()
        writer.close()

    async def scenario() -> None:
        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
            with pytest.raises(HttpError, match=r"TLS handshake failed|no connection") as caught:
                await post(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            assert caught.value.retryable
            assert not caught.value.ambiguous

    run(scenario())


def test_redirects_are_not_followed(run: Any) -> None:
    async def scenario() -> None:
        async with odd_http([http(302, Location="/elsewhere")]) as server:
            answer = await post(server.url)
            assert (answer.status, len(server.requests)) == (302, 1)
            assert refusal(answer, codes={}).reason == R.PROVIDER_ERROR
            assert not refusal(answer, codes={}).retryable

    run(scenario())


def test_a_header_that_can_not_be_sent_is_not_shown(run: Any) -> None:
    async def scenario() -> None:
        async with odd_http([http(200, {})]) as server:
            with pytest.raises(HttpError) as caught:
                await post(server.url, headers={"Authorization": "hidden\r\nX: y"})
            assert "hidden" not in str(caught.value)
            assert (caught.value.retryable, caught.value.ambiguous, server.requests) == (False, False, [])

    run(scenario())


def test_connections_are_kept(run: Any) -> None:
    async def scenario() -> None:
        async with odd_http([http(200, {"n": 1})]) as server:
            provider = Plain(network_policy=LOCAL)
            for _ in range(5):
                answer = await provider.request("POST", server.url, body=b"{}")
                assert answer.json() == {"n": 1}
            assert server.connections == 1
            await provider.aclose()
            await provider.aclose()
            assert (await provider.request("GET", server.url)).ok, "a closed provider opens again"
            await provider.aclose()

    run(scenario())


def test_nothing_is_kept_between_tenants(run: Any) -> None:
    async def scenario() -> None:
        async with odd_http([http(200, {}, Set_Cookie="who=acme")]) as server:
            provider = Plain(network_policy=LOCAL)
            await provider.request("POST", server.url, headers={"Authorization": "a"})
            await provider.request("POST", server.url)
            await provider.aclose()
            assert "cookie" not in server.requests[1].headers
            assert "authorization" not in server.requests[1].headers

    run(scenario())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-4", 0.0),
        ("1e99", MAX_RETRY_AFTER),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
    ],
)
def test_retry_after(run: Any, value: str, expected: float | None) -> None:
    assert run(scripted(http(429, {}, Retry_After=value))).retry_after == expected


def test_retry_after_as_a_date(run: Any) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    found = run(scripted(http(503, b"<html>", Retry_After=moment))).retry_after
    assert 80 < found <= 90


@pytest.mark.parametrize(
    ("status", "reason", "retryable", "ambiguous"),
    [
        (200, R.PROVIDER_ERROR, True, True),
        (301, R.PROVIDER_ERROR, False, False),
        (400, R.CONTENT_ERROR, False, False),
        (401, R.AUTH_ERROR, False, False),
        (403, R.AUTH_ERROR, False, False),
        (404, R.PROVIDER_ERROR, False, False),
        (413, R.CONTENT_ERROR, False, False),
        (429, R.RATE_LIMITED, True, False),
        (500, R.PROVIDER_ERROR, True, False),
        (501, R.PROVIDER_ERROR, False, False),
        (502, R.PROVIDER_ERROR, True, True),
        (503, R.PROVIDER_ERROR, True, False),
        (504, R.PROVIDER_ERROR, True, True),
    ],
)
def test_a_status_without_a_code(status: int, reason: FailureReason, retryable: bool, ambiguous: bool) -> None:
    result = refusal(HttpAnswer(status, {}, b"<html>", 3.0), codes={})
    assert (result.reason, result.retryable, result.ambiguous) == (reason, retryable, ambiguous)
    assert result.code == str(status)
    assert result.response
    assert result.retry_after == (3.0 if retryable and status >= 300 else None)


def test_a_known_code_wins_over_the_status() -> None:
    result = refusal(HttpAnswer(400, {}, b""), code="21610", text="stop", codes={"21610": (R.SUPPRESSED, False)})
    assert (result.reason, result.code, result.response) == (R.SUPPRESSED, "21610", "stop")


def test_secrets_are_taken_out_in_every_spelling() -> None:
    secret = "a b+/ü=secret"
    forms = secret_forms(Key(key=secret), "Basic QUJD")
    for shown in (secret, "a%20b%2B%2F%C3%BC%3Dsecret", "a+b%2B%2F%C3%BC%3Dsecret", "YSBiKy/DvD1zZWNyZXQ=", "QUJD"):
        assert "secret" not in redact(f"you sent {shown}!", forms).replace("Basic", "")
    assert redact("x\x00\x1b[1m" + "y" * 900) == "x  [1m" + "y" * 494


@pytest.mark.parametrize("url", ["https://api.example.com/", "http://127.0.0.1:8025/twilio", "https://[::1]:8443"])
def test_base_url(url: str) -> None:
    assert TypeAdapter(BaseUrl).validate_python(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "", "api.example.com", "ftp://example.com", "https://", "https://user:pw@example.com", "https://example.com?x=1",
        "https://example.com#x", "https://exa mple.com", "https://example.com:99999", "file:///etc/passwd",
        "https://[::1", "https://exämple.com", "https://example.com\r\nX: y",
    ],
)  # fmt: skip
def test_base_url_that_is_none(url: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(BaseUrl).validate_python(url)


def test_cancelling_does_not_hurt_the_next_request(run: Any) -> None:
    async def scenario() -> None:
        async with odd_http([HANG], [http(200, {})]) as server:
            provider = Plain(network_policy=LOCAL)
            task = asyncio.create_task(provider.request("POST", server.url, body=b"x"))
            while not server.requests:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await provider.request("POST", server.url, body=b"x")).ok
            await provider.aclose()

    run(scenario())
