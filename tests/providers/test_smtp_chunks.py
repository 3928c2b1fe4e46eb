"""Bulk mail to a server that takes chunks (RFC 3030): many messages in a write, each settled by itself."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from notifications.providers.base import FailureReason, SendResult
from notifications.providers.smtp import SmtpProvider
from notifications.providers.smtp_chunks import MOST_MESSAGES
from tests.providers.smtp_servers import CLOSE, LOCAL, OddServer, credential, messages, odd_server, send_all

CHUNKING = b"250-odd.test\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN\r\n"
R = FailureReason


def converse(
    count: int, *, lane: str = "bulk", connections: int = 1, content: dict[str, Any] | None = None, **script: Any
) -> tuple[list[SendResult], OddServer]:
    """Send messages to a scripted server; return the results in the order of the messages."""

    async def go() -> tuple[list[SendResult], OddServer]:
        async with odd_server(**{"EHLO": CHUNKING, **script}) as server:
            provider = SmtpProvider(network_policy=LOCAL)
            provider.concurrency = connections  # type: ignore[misc]  # the class says 8
            batch = messages(count, lane, **(content or {}))
            results = await send_all(provider, batch, credential(server.port, timeout=1))
            await provider.aclose()
        return [results[message.recipient] for message in batch], server

    return asyncio.run(go())


def verbs(server: OddServer) -> list[str]:
    return [line[:4].strip().decode() for line in server.lines]


def test_every_message_arrives_whole_and_once() -> None:
    content = {"subject": "Dots", "text": ".one\r\n..two\r\n.\r\nthree"}
    results, server = converse(40, content=content)
    assert all(result.accepted for result in results)
    assert sorted(server.recipients()) == sorted(f"u{number}@example.com" for number in range(40))
    assert "DATA" not in verbs(server)
    # A chunk is counted, not searched for its end: nothing is doubled.
    assert all(data.endswith(b".one\r\n..two\r\n.\r\nthree\r\n") for _, _, data in server.taken)


@pytest.mark.parametrize("lane", ["normal", "critical"])
def test_only_bulk_mail_shares_a_connection_like_that(lane: str) -> None:
    results, server = converse(5, lane=lane)
    assert all(result.accepted for result in results)
    assert "BDAT" not in verbs(server)


@pytest.mark.parametrize(("taken", "least", "most"), [(1, 1, 2), (60, MOST_MESSAGES // 2, MOST_MESSAGES)])
def test_a_connection_takes_more_as_it_proves_itself(taken: int, least: int, most: int) -> None:
    """What stands unanswered when the connection breaks is what was on its way."""
    ok = b"250 2.0.0 ok\r\n"
    results, _ = converse(200, message=(*[ok] * taken, [0.1, CLOSE], ok))
    assert least <= sum(result.ambiguous for result in results) <= most


def test_a_refusal_concerns_one_message() -> None:
    ok, no = b"250 2.1.5 ok\r\n", b"550 5.1.1 no such user\r\n"
    results, server = converse(12, RCPT=(ok, ok, ok, ok, no, ok))
    assert [result.accepted for result in results] == [True] * 4 + [False] + [True] * 7
    assert (results[4].code, results[4].retryable, results[4].ambiguous) == ("550 5.1.1", False, False)
    assert len(server.taken) == 11
    assert server.connections == 1


def test_a_sender_refused_for_now_concerns_one_message() -> None:
    ok, later = b"250 2.1.0 ok\r\n", b"451 4.7.1 greylisted\r\n"
    results, server = converse(10, MAIL=(ok, ok, later, ok))
    assert [result.accepted for result in results] == [True, True, False] + [True] * 7
    assert (results[2].retryable, results[2].ambiguous) == (True, False)
    assert len(server.taken) == 9


def test_a_message_refused_for_what_it_says_concerns_one() -> None:
    ok = b"250 2.0.0 ok\r\n"
    results, server = converse(10, message=(ok, ok, ok, b"554 5.7.1 spam\r\n", ok))
    assert [result.accepted for result in results] == [True] * 3 + [False] + [True] * 6
    assert results[3].reason in (R.CONTENT_ERROR, R.PROVIDER_ERROR)
    assert len(server.taken) == 9


def test_a_goodbye_leaves_no_doubt_about_what_stood_behind_it() -> None:
    ok, bye = b"250 2.0.0 ok\r\n", [b"421 4.3.2 closing\r\n", CLOSE]
    results, server = converse(20, message=(ok, ok, ok, ok, bye, ok))
    assert sum(result.accepted for result in results) == 19
    assert not any(result.ambiguous for result in results)
    assert len(server.taken) == 19


def test_after_a_break_in_between_everything_on_the_connection_is_in_doubt() -> None:
    ok = b"250 2.0.0 ok\r\n"
    results, server = converse(40, message=(ok, ok, ok, ok, ok, ok, CLOSE, ok))
    doubtful = [result for result in results if result.ambiguous]
    assert 1 <= len(doubtful) <= MOST_MESSAGES
    assert all(result.reason == R.NETWORK_ERROR and result.retryable for result in doubtful)
    assert sum(result.accepted for result in results) == 40 - len(doubtful) == len(server.taken)


def test_few_messages_do_not_share() -> None:
    """Eight messages and eight connections: one that the server can not stand takes no other with it."""
    results, server = converse(8, connections=8, message=([0.05, CLOSE],))
    assert all(result.ambiguous for result in results)
    per_connection = verbs(server).count("BDAT") / server.connections
    assert per_connection <= 2


def test_what_must_not_come_twice_travels_alone() -> None:
    async def go() -> OddServer:
        async with odd_server(EHLO=CHUNKING) as server:
            provider = SmtpProvider(network_policy=LOCAL)
            careful = [replace(message, at_most_once=True) for message in messages(5, "bulk")]
            await send_all(provider, careful, credential(server.port))
            await provider.aclose()
        return server

    server = asyncio.run(go())
    assert len(server.taken) == 5
    assert "BDAT" not in verbs(server)


def test_a_connection_that_died_at_rest_leaves_no_doubt() -> None:
    async def go() -> list[SendResult]:
        async with odd_server(EHLO=CHUNKING) as server:
            provider = SmtpProvider(network_policy=LOCAL)
            await send_all(provider, messages(3, "bulk"), credential(server.port))
            server.close()
            await asyncio.sleep(0.05)
            found = await send_all(provider, messages(3, "bulk"), credential(server.port))
            await provider.aclose()
        return list(found.values())

    assert all(result.accepted for result in asyncio.run(go()))


@pytest.mark.parametrize("answer", [b"500 5.5.2 what?\r\n", b"502 5.5.1 not implemented\r\n"], ids=["500", "502"])
def test_a_server_that_does_not_know_bdat_after_all_gets_data(answer: bytes) -> None:
    results, server = converse(20, BDAT=answer)
    assert all(result.accepted for result in results)
    assert verbs(server).count("DATA") == len(server.taken) == 20


def test_a_message_that_is_too_long_for_the_server_is_refused_alone() -> None:
    sized = CHUNKING.replace(b"250-8BITMIME", b"250-SIZE 10")
    results, server = converse(3, EHLO=sized)
    assert [(result.accepted, result.reason) for result in results] == [(False, R.CONTENT_ERROR)] * 3
    assert server.taken == []
