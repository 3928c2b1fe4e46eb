"""What every provider over HTTP promises, whatever the other side does: one result a message, and no secret in it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from notifications.providers.base import CheckResult, FailureReason, Provider, SendResult
from notifications.providers.http import MAX_ANSWER, HttpProvider
from notifications.providers.registry import make_provider, providers
from tests.contracts.test_providers import LOCAL, SAMPLES, SECRET, outgoing
from tests.providers.http_servers import CLOSE, HANG, RESET, OddHttpServer, Step, http, odd_http

ALL = pytest.mark.parametrize(
    "provider",
    [provider for provider in providers if issubclass(provider, HttpProvider) and "base_url" in SAMPLES[provider.key]],
    ids=lambda provider: provider.key,
)
R = FailureReason
COUNT = 5


@pytest.fixture(autouse=True)
def _short_time_outs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HttpProvider, "total_timeout", 0.7)
    monkeypatch.setattr(HttpProvider, "connect_timeout", 0.5)


def converse(provider: type[Provider[Any]], *script: Step) -> tuple[list[SendResult], CheckResult, OddHttpServer]:
    """Send some messages, and check, against a server that always answers the same."""

    async def scenario() -> tuple[list[SendResult], CheckResult, OddHttpServer]:
        async with odd_http(script) as server:
            payload = {**SAMPLES[provider.key], "base_url": server.url}
            credential = provider.schema.model_validate(payload)
            instance = make_provider(provider.key, network_policy=LOCAL)
            results: list[tuple[Any, SendResult]] = []
            batch = outgoing(provider, COUNT)
            try:
                await instance.send_many(batch, credential, lambda m, result: results.append((m.id, result)))
                check = await instance.check(credential)
            finally:
                await instance.aclose()
        assert sorted(str(key) for key, _ in results) == sorted(str(message.id) for message in batch)
        return [result for _, result in results], check, server

    return asyncio.run(asyncio.wait_for(scenario(), 30))


#: What the other side does; then reason, whether a retry helps, whether it may have been carried out, the pause.
MISBEHAVIOUR: dict[str, tuple[list[Step], FailureReason, bool, bool, float | None]] = {
    "reset": ([RESET], R.NETWORK_ERROR, True, True, None),
    "closed": ([CLOSE], R.NETWORK_ERROR, True, True, None),
    "broken off": ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", CLOSE], R.NETWORK_ERROR, True, True, None),
    "hangs": ([HANG], R.NETWORK_ERROR, True, True, None),
    "drips": ([b"HTTP/1.1 200 OK\r\n", *([b"X: y\r\n", 0.2] * 30)], R.NETWORK_ERROR, True, True, None),
    "not HTTP": ([b"SSH-2.0-OpenSSH_9.2\r\n\r\n", CLOSE], R.NETWORK_ERROR, True, True, None),
    "too large": ([http(200, b"[" * (MAX_ANSWER + 1))], R.NETWORK_ERROR, True, True, None),
    "500 in HTML": ([http(500, b"<html>Oops " + SECRET.encode())], R.PROVIDER_ERROR, True, False, None),
    "502": ([http(502, b"<html>")], R.PROVIDER_ERROR, True, True, None),
    "503, come back": ([http(503, b"", Retry_After="7")], R.PROVIDER_ERROR, True, False, 7.0),
    "504": ([http(504, b"<html>")], R.PROVIDER_ERROR, True, True, None),
    "429": ([http(429, b"slow down", Retry_After="3")], R.RATE_LIMITED, True, False, 3.0),
    "429 without a pause": ([http(429, {})], R.RATE_LIMITED, True, False, None),
    "redirect": ([http(302, b"", Location="http://127.0.0.1:1/")], R.PROVIDER_ERROR, False, False, None),
    "permanent redirect": ([http(308, b"", Location="/")], R.PROVIDER_ERROR, False, False, None),
    "401 in HTML": ([http(401, b"<html>")], R.AUTH_ERROR, False, False, None),
    "200 in HTML": ([http(200, b"<html>Please log in")], R.PROVIDER_ERROR, True, True, None),
    "200, broken JSON": ([http(200, b"{")], R.PROVIDER_ERROR, True, True, None),
    "200, not an object": ([http(200, ["x", 1])], R.PROVIDER_ERROR, True, True, None),
    "200, empty object": ([http(200, {})], R.PROVIDER_ERROR, True, True, None),
    "500, strange JSON": ([http(500, {"code": {}, "message": [], "errors": 7})], R.PROVIDER_ERROR, True, False, None),
}  # fmt: skip


@ALL
@pytest.mark.parametrize("name", MISBEHAVIOUR)
def test_misbehaviour(provider: type[Provider[Any]], name: str) -> None:
    script, reason, retryable, ambiguous, pause = MISBEHAVIOUR[name]
    results, check, server = converse(provider, *script)
    for result in results:
        assert not result.accepted
        found = (result.reason, result.retryable, result.ambiguous, result.retry_after)
        assert found == (reason, retryable, ambiguous, pause), result
        assert result.response
        assert len(result.response) <= 500
        assert SECRET not in repr(result)
    assert SECRET not in repr(check)
    assert check.detail
    if not name.startswith("200"):
        assert not check.ok
        assert check.reason == reason
    assert sum(request.method == "POST" for request in server.requests) == COUNT, (
        "one request a message: who tries again is the engine"
    )


@ALL
def test_answers_that_repeat_the_credential_are_cleaned(provider: type[Provider[Any]]) -> None:
    echo = {
        "code": 20003,
        "message": f"no such key {SECRET}",
        "errors": [{"message": f"bad {SECRET}", "field": SECRET}],
    }
    results, check, _ = converse(provider, http(401, echo, X_Message_Id=SECRET))
    assert {result.reason for result in results} == {R.AUTH_ERROR}
    assert SECRET not in repr(results) + repr(check)
    results, _, _ = converse(provider, http(202, {"sid": SECRET, "status": SECRET}, X_Message_Id=SECRET))
    assert SECRET not in repr(results)


@ALL
def test_nobody_listens(provider: type[Provider[Any]]) -> None:
    async def scenario() -> SendResult:
        instance = make_provider(provider.key, network_policy=LOCAL)
        credential = provider.schema.model_validate({**SAMPLES[provider.key], "base_url": "http://127.0.0.1:1"})
        return await instance.send(outgoing(provider, 1)[0], credential)

    result = asyncio.run(scenario())
    assert (result.reason, result.retryable, result.ambiguous) == (R.NETWORK_ERROR, True, False)


@ALL
@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "https://localhost:1", "https://[::1]:1", "https://169.254.169.254"]
)
def test_addresses_inside_are_out_of_reach(provider: type[Provider[Any]], url: str) -> None:
    async def scenario() -> SendResult:
        instance = make_provider(provider.key)
        credential = provider.schema.model_validate({**SAMPLES[provider.key], "base_url": url})
        return await instance.send(outgoing(provider, 1)[0], credential)

    result = asyncio.run(scenario())
    assert (result.reason, result.retryable, result.ambiguous) == (R.NETWORK_ERROR, False, False)
    assert "not allowed" in result.response
