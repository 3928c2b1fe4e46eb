"""Copies over SMTP: in the envelope and not in the way."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from notifications.providers.base import FailureReason, OutgoingMessage, SendResult
from notifications.providers.smtp import SmtpProvider
from tests.providers.smtp_servers import LOCAL, credential, mail_server, messages, odd_server, send_all

COPIES = {"subject": "Hi", "text": "x", "cc": ["bob@example.com"], "bcc": ["eve@example.com", "U0@example.com"]}
MAILED, REFUSED = b"250 2.1.5 ok\r\n", b"550 5.1.1 no such person\r\n"


def mixed() -> list[OutgoingMessage]:
    """Messages with and without copies in turn."""
    batch = messages(6)
    return [OutgoingMessage(each.id, each.recipient, COPIES) if n % 2 else each for n, each in enumerate(batch)]


async def send(port: int, batch: list[OutgoingMessage]) -> dict[str, SendResult]:
    provider = SmtpProvider(network_policy=LOCAL)
    provider.concurrency = 1  # type: ignore[misc]
    try:
        return await send_all(provider, batch, credential(port))
    finally:
        await provider.aclose()


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "stepwise"])
def test_copies_are_in_the_envelope_and_bcc_nowhere_else(run: Any, pipelining: bool) -> None:
    with mail_server(pipelining=pipelining) as server:
        results = run(send(server.port, mixed()))
    assert all(result.accepted for result in results.values())
    assert sorted(map(len, (envelope.rcpt_tos for envelope in server.envelopes))) == [1, 1, 1, 4, 4, 4]
    for envelope in server.envelopes:
        content = envelope.content
        assert isinstance(content, bytes)
        assert b"eve@" not in content
        assert b"\r\nbcc:" not in content.lower()
        assert (b"Cc: bob@example.com" in content) == (len(envelope.rcpt_tos) == 4)


def test_who_is_addressed_anyway_gets_no_copy(run: Any) -> None:
    with mail_server() as server:
        run(send(server.port, [OutgoingMessage(uuid4(), "u0@example.com", COPIES)]))
    assert server.envelopes[0].rcpt_tos == ["u0@example.com", "bob@example.com", "eve@example.com"]


@pytest.mark.parametrize(
    "extensions", [b"250 8BITMIME", b"250-PIPELINING\r\n250 8BITMIME"], ids=["stepwise", "pipelined"]
)
def test_a_refused_copy_does_not_fail_the_message(run: Any, extensions: bytes) -> None:
    async def scenario() -> tuple[dict[str, SendResult], int]:
        hello = b"250-odd.test\r\n" + extensions + b"\r\n"
        async with odd_server(EHLO=hello, RCPT=(MAILED, REFUSED, MAILED)) as odd:
            results = await send(odd.port, [OutgoingMessage(uuid4(), "ada@example.com", COPIES), *messages(2)])
            return results, len(odd.taken)

    results, taken = run(scenario())
    assert taken == 3
    assert all(result.accepted for result in results.values())
    result = results["ada@example.com"]
    assert result.provider_message_id == "ABCDEF12"
    assert "(no copy to bob@example.com: 550 5.1.1 no such person)" in result.response
    assert "no copy" not in results["u0@example.com"].response


def test_nobody_gets_a_copy_of_what_its_recipient_can_not_get(run: Any) -> None:
    async def scenario() -> tuple[dict[str, SendResult], list[bytes], list[str]]:
        async with odd_server(RCPT=(REFUSED, MAILED)) as odd:
            results = await send(odd.port, [OutgoingMessage(uuid4(), "ada@example.com", COPIES), *messages(2)])
            return results, odd.lines, odd.recipients()

    results, lines, recipients = run(scenario())
    assert results["ada@example.com"].reason == FailureReason.PROVIDER_ERROR
    assert recipients == ["u0@example.com", "u1@example.com"]
    assert not [line for line in lines if b"bob@" in line or b"eve@" in line]


def test_a_server_that_leaves_among_the_copies_is_asked_again(run: Any) -> None:
    async def scenario() -> tuple[dict[str, SendResult], int]:
        async with odd_server(RCPT=(MAILED, b"421 4.3.2 bye\r\n", MAILED)) as odd:
            return await send(odd.port, [OutgoingMessage(uuid4(), "ada@example.com", COPIES)]), len(odd.taken)

    results, taken = run(scenario())
    assert results["ada@example.com"].accepted
    assert taken == 1
