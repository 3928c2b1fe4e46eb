"""The pretend token endpoint and XOAUTH2 at the pretend mail server, met by our own SMTP provider."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from notifications.providers.base import FailureReason, SendResult
from notifications.providers.smtp import SmtpProvider
from tests.providers.smtp_servers import LOCAL, credential, messages, send_all
from tests.sandbox.conftest import Sandbox


def send(sandbox: Sandbox, **values: Any) -> SendResult:
    async def scenario() -> SendResult:
        provider = SmtpProvider(network_policy=LOCAL)
        login = credential(sandbox.smtp_port, auth="xoauth2", username="mailer@acme.test", **values)
        try:
            return (await send_all(provider, messages(1), login))["u0@example.com"]
        finally:
            await provider.aclose()

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    "grant", [{"refresh_token": "r1"}, {"client_secret": "s1"}], ids=["refresh_token", "client_credentials"]
)
def test_log_in_with_a_fetched_token(sandbox: Sandbox, grant: dict[str, str]) -> None:
    result = send(sandbox, token_url=f"{sandbox.url}/oauth/token", client_id="app", **grant)
    assert result.accepted, result
    (caught,) = sandbox.messages()
    assert caught["tenant"] == "mailer@acme.test"


def test_a_given_token(sandbox: Sandbox) -> None:
    assert send(sandbox, access_token="mine").accepted


@pytest.mark.parametrize(
    "values",
    [
        {"access_token": "expired-1"},
        {"refresh_token": "revoked-1"},
        {"refresh_token": "invalid-1"},
        {"refresh_token": "r", "client_secret": "wrong-1"},
    ],
    ids=["token", "revoked", "refresh", "client"],
)
def test_refusals(sandbox: Sandbox, values: dict[str, str]) -> None:
    more = {} if "access_token" in values else {"token_url": f"{sandbox.url}/oauth/token", "client_id": "app"}
    result = send(sandbox, **values, **more)
    assert (result.accepted, result.reason) == (False, FailureReason.AUTH_ERROR)
    assert not sandbox.messages()
