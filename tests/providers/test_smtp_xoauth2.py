"""Logging in with access tokens: given ones, and ones that are fetched and refreshed."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from pydantic import ValidationError

from notification_service.lib.net import PUBLIC_ONLY, NetworkPolicy
from notifications.providers.base import CheckResult, FailureReason, SendResult, field_errors
from notifications.providers.smtp import SmtpCredential, SmtpProvider
from tests.providers.http_servers import http, odd_http
from tests.providers.smtp_servers import LOCAL, credential, messages, odd_server, send_all

R = FailureReason
HELLO = b"250-odd.test\r\n250-PIPELINING\r\n250 AUTH PLAIN LOGIN XOAUTH2\r\n"
WELCOME = b"235 2.7.0 welcome\r\n"
REASONS = b"334 eyJzdGF0dXMiOiI0MDEifQ==\r\n"
REFUSED = b"535 5.7.8 not accepted\r\n"
CLIENT = {"client_id": "app", "client_secret": "s3cret-of-the-app", "refresh_token": "refresh-me-77"}
USER = "mailer@acme.test"


def token(number: int, lifetime: int = 3600) -> bytes:
    return http(200, {"access_token": f"token-{number}", "expires_in": lifetime, "token_type": "Bearer"})


def said(line: bytes) -> str:
    return base64.b64decode(line.split()[-1]).decode()


async def send(
    port: int, count: int = 1, *, policy: NetworkPolicy = LOCAL, rounds: int = 1, **values: Any
) -> list[SendResult]:
    provider = SmtpProvider(network_policy=policy)
    provider.concurrency = 1  # type: ignore[misc]
    login = credential(port, auth="xoauth2", username=USER, **values)
    found: list[SendResult] = []
    try:
        for _ in range(rounds):
            found += (await send_all(provider, messages(count), login)).values()
            provider._close_idle(older_than=0)  # the next round logs in again
    finally:
        await provider.aclose()
    return found


def test_a_given_token_logs_in(run: Any) -> None:
    async def scenario() -> None:
        async with odd_server(EHLO=HELLO) as server:
            (result,) = await send(server.port, access_token="given-1")
            assert result.accepted
            (login,) = [line for line in server.lines if line.startswith(b"AUTH")]
            assert said(login) == f"user={USER}\x01auth=Bearer given-1\x01\x01"

    run(scenario())


def test_a_token_is_fetched_once_and_used_for_every_connection(run: Any) -> None:
    async def scenario() -> None:
        async with odd_server(EHLO=HELLO) as server, odd_http([token(1)], [token(2)]) as issuer:
            results = await send(server.port, 3, rounds=3, token_url=f"{issuer.url}/token", **CLIENT)
            assert all(result.accepted for result in results)
            assert len(results) == 9
            assert {said(line).split("Bearer ")[1] for line in server.lines if b"AUTH" in line} == {"token-1\x01\x01"}
            (asked,) = issuer.requests
            assert asked.path == "/token"
            assert asked.body == (
                b"grant_type=refresh_token&client_id=app&client_secret=s3cret-of-the-app&refresh_token=refresh-me-77"
            )

    run(scenario())


def test_a_client_without_a_refresh_token_asks_for_itself(run: Any) -> None:
    async def scenario() -> None:
        async with odd_server(EHLO=HELLO) as server, odd_http([token(1)]) as issuer:
            own = {"client_id": "app", "client_secret": "s", "scope": "https://outlook.office365.com/.default"}
            (result,) = await send(server.port, token_url=issuer.url, **own)
            assert result.accepted
            assert b"grant_type=client_credentials" in issuer.requests[0].body
            assert b"scope=https%3A%2F%2Foutlook" in issuer.requests[0].body

    run(scenario())


def test_a_token_that_was_revoked_is_replaced_once(run: Any) -> None:
    async def scenario() -> None:
        script: dict[str, Any] = {"EHLO": HELLO, "AUTH": (REASONS, WELCOME), "": REFUSED}
        async with odd_server(**script) as server, odd_http([token(1)], [token(2)]) as issuer:
            (result,) = await send(server.port, token_url=issuer.url, **CLIENT)
            assert result.accepted
            assert [said(line)[-9:-2] for line in server.lines if b"AUTH" in line] == ["token-1", "token-2"]

    run(scenario())


def test_what_stays_refused_is_an_auth_error_without_secrets(run: Any) -> None:
    async def scenario() -> None:
        refusal = b"535 5.7.8 no token-1 token-2 s3cret-of-the-app\r\n"
        script: dict[str, Any] = {"EHLO": HELLO, "AUTH": REASONS, "": refusal}
        async with odd_server(**script) as server, odd_http([token(1)], [token(2)]) as issuer:
            (result,) = await send(server.port, token_url=issuer.url, **CLIENT)
            assert (result.reason, result.retryable) == (R.AUTH_ERROR, False)
            assert result.response == "5.7.8 no •••• •••• ••••"
            assert len(issuer.requests) == 2

    run(scenario())


@pytest.mark.parametrize(
    ("answer", "reason", "retryable"),
    [
        (http(400, {"error": "invalid_grant", "error_description": "refresh-me-77 expired"}), R.AUTH_ERROR, False),
        (http(401, {"error": "invalid_client"}), R.AUTH_ERROR, False),
        (http(503, {}), R.PROVIDER_ERROR, True),
        (http(200, {"access_token": ""}), R.PROVIDER_ERROR, True),
    ],
    ids=["expired", "client", "away", "odd"],
)
def test_no_token_no_connection(run: Any, answer: bytes, reason: FailureReason, retryable: bool) -> None:
    async def scenario() -> None:
        async with odd_server(EHLO=HELLO) as server, odd_http([answer]) as issuer:
            results = await send(server.port, 2, token_url=issuer.url, **CLIENT)
            for result in results:
                assert (result.reason, result.retryable, result.ambiguous) == (reason, retryable, False)
                assert result.response.startswith("No access token")
                assert "refresh-me" not in result.response
            assert server.connections == 0

    run(scenario())


def test_a_token_address_inside_is_not_asked(run: Any) -> None:
    async def scenario() -> None:
        async with odd_http([token(1)]) as issuer:
            (result,) = await send(25, policy=PUBLIC_ONLY, token_url=issuer.url, **CLIENT)
            assert not result.retryable
            assert not issuer.requests

    run(scenario())


def test_a_server_without_it_is_an_auth_error(run: Any) -> None:
    async def scenario() -> None:
        async with odd_server() as server:
            (result,) = await send(server.port, access_token="given-1")
            assert result.reason is R.AUTH_ERROR
            assert "XOAUTH2" in result.response

    run(scenario())


@pytest.mark.parametrize("auth", ["plain", "login"])
def test_a_way_to_log_in_can_be_chosen(run: Any, auth: str) -> None:
    async def scenario() -> list[bytes]:
        steps = (b"334 VXNlcm5hbWU6\r\n", WELCOME) if auth == "login" else WELCOME
        ask = b"334 UGFzcw==\r\n"
        script: dict[str, Any] = {"EHLO": HELLO, "AUTH": steps, "BWFP": ask, "C2VJ": WELCOME}
        async with odd_server(**script) as server:
            provider = SmtpProvider(network_policy=LOCAL)
            login = credential(server.port, auth=auth, username="mailer", password="secret")
            (result,) = (await send_all(provider, messages(1), login)).values()
            await provider.aclose()
            assert result.accepted, result
            return server.lines

    assert any(line.startswith(b"AUTH " + auth.upper().encode()) for line in run(scenario()))


def test_the_check_says_where_it_fails(run: Any) -> None:
    async def scenario(answer: bytes) -> CheckResult:
        async with odd_server(EHLO=HELLO) as server, odd_http([answer]) as issuer:
            provider = SmtpProvider(network_policy=LOCAL)
            login = credential(server.port, auth="xoauth2", username=USER, token_url=issuer.url, **CLIENT)
            try:
                return await provider.check(login)
            finally:
                await provider.aclose()

    assert run(scenario(token(1))).ok
    failed = run(scenario(http(400, {"error": "invalid_grant"})))
    assert (failed.ok, failed.reason) == (False, R.AUTH_ERROR)


GOOD: dict[str, Any] = {
    "host": "smtp.acme.test",
    "from_email": "a@acme.test",
    "auth": "xoauth2",
    "username": USER,
    "token_url": "https://login.example/token",
    **CLIENT,
}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"username": None}, "username"),
        ({"password": "x"}, "password"),
        ({"client_id": None}, "token_url"),
        ({"token_url": None}, "token_url"),
        ({"refresh_token": None, "client_secret": None}, "token_url"),
        ({"token_url": "ftp://x"}, "token_url"),
        ({"access_token": "two words"}, "access_token"),
        ({"auth": "auto", "username": None}, "token_url"),
        ({"auth": "kerberos"}, "auth"),
    ],
    ids=lambda value: value if isinstance(value, str) else ",".join(value),
)
def test_what_does_not_go_together_names_a_field(changes: dict[str, Any], field: str) -> None:
    assert SmtpCredential.model_validate(GOOD).grant() is not None
    with pytest.raises(ValidationError) as caught:
        SmtpCredential.model_validate({**GOOD, **changes})
    assert field in field_errors(caught.value)


def test_tokens_are_secrets() -> None:
    shown = repr(SmtpCredential.model_validate({**GOOD, "access_token": "given-1"}))
    for secret in ("given-1", CLIENT["client_secret"], CLIENT["refresh_token"]):
        assert secret not in shown
    assert {"access_token", "client_secret", "refresh_token", "password"} <= SmtpCredential.secret_fields()


def test_asyncio_is_left_clean() -> None:
    async def scenario() -> int:
        provider = SmtpProvider(network_policy=LOCAL)
        await provider.aclose()
        return len(asyncio.all_tasks())

    assert asyncio.run(scenario()) == 1
