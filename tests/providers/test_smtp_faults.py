"""Whatever a server does, every message gets exactly one result, and the right one."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifications.providers.base import FailureReason, SendResult
from notifications.providers.smtp import SmtpProvider
from tests.providers.smtp_servers import (
    CLOSE,
    HANG,
    LOCAL,
    RESET,
    OddServer,
    credential,
    messages,
    odd_server,
    send_all,
)

PLAIN = b"250-odd.test\r\n250 AUTH PLAIN LOGIN\r\n"
PIPELINING = b"250-odd.test\r\n250-PIPELINING\r\n250 AUTH PLAIN LOGIN\r\n"
CHUNKING = b"250-odd.test\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 AUTH PLAIN LOGIN\r\n"
BOTH = pytest.mark.parametrize("ehlo", [PLAIN, PIPELINING], ids=["step by step", "pipelined"])
R = FailureReason


@pytest.fixture(autouse=True)
def _one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection at a time, so that the order of things on the wire is known."""
    monkeypatch.setattr(SmtpProvider, "concurrency", 1)


async def converse(
    count: int = 5, *, lane: str = "normal", values: dict[str, Any] | None = None, **script: Any
) -> tuple[list[SendResult], OddServer]:
    """Send messages to a scripted server; return the results in the order of the messages."""
    async with odd_server(**script) as server:
        provider = SmtpProvider(network_policy=LOCAL)
        batch = messages(count, lane)
        results = await send_all(provider, batch, credential(server.port, timeout=1, **(values or {})))
        await provider.aclose()
    return [results[message.recipient] for message in batch], server


def summary(results: list[SendResult]) -> list[tuple[Any, ...]]:
    return [(r.accepted, r.reason, r.retryable, r.ambiguous) for r in results]


OK = (True, None, False, False)


@pytest.mark.parametrize(
    ("script", "reason", "retryable", "code"),
    [
        ({"greeting": b"554 5.3.2 no service here\r\n"}, R.PROVIDER_ERROR, False, "554 5.3.2"),
        ({"greeting": b"421 4.3.2 shutting down\r\n"}, R.PROVIDER_ERROR, True, "421 4.3.2"),
        ({"greeting": b"421 4.7.0 too many connections\r\n"}, R.RATE_LIMITED, True, "421 4.7.0"),
        ({"EHLO": b"421 bye\r\n"}, R.PROVIDER_ERROR, True, "421"),
        ({"EHLO": b"550 no\r\n", "HELO": b"550 5.7.1 never\r\n"}, R.PROVIDER_ERROR, False, "550 5.7.1"),
        ({"AUTH": b"535 5.7.8 bad credentials\r\n"}, R.AUTH_ERROR, False, "535 5.7.8"),
        ({"AUTH": b"550 access denied\r\n"}, R.AUTH_ERROR, False, "550"),
        ({"AUTH": b"454 4.7.0 temporary failure\r\n"}, R.PROVIDER_ERROR, True, "454 4.7.0"),
        ({"AUTH": b"334 more?\r\n"}, R.PROVIDER_ERROR, True, "334"),
        ({"EHLO": b"250 nothing.test\r\n"}, R.AUTH_ERROR, False, ""),
        ({"EHLO": b"250-x.test\r\n250 AUTH GSSAPI\r\n"}, R.AUTH_ERROR, False, ""),
        ({"greeting": CLOSE}, R.NETWORK_ERROR, True, ""),
        ({"greeting": RESET}, R.NETWORK_ERROR, True, ""),
        ({"greeting": HANG}, R.NETWORK_ERROR, True, ""),
        ({"greeting": b"SSH-2.0-OpenSSH_9.2\r\n"}, R.NETWORK_ERROR, True, ""),
        ({"greeting": b"\x16\x03\x01\x00\xff\n"}, R.NETWORK_ERROR, True, ""),
        ({"greeting": b"220 " + b"x" * 100_000}, R.NETWORK_ERROR, True, ""),
        ({"greeting": b"220-more\r\n" * 1000}, R.NETWORK_ERROR, True, ""),
        ({"EHLO": [b"250-odd.test\r\n", CLOSE]}, R.NETWORK_ERROR, True, ""),
        ({"EHLO": [*([b"250-odd.test\r\n", 0.3] * 6), b"250 late\r\n"]}, R.NETWORK_ERROR, True, ""),
        ({"AUTH": CLOSE}, R.NETWORK_ERROR, True, ""),
        ({"MAIL": CLOSE}, R.NETWORK_ERROR, True, ""),
        ({"RCPT": RESET}, R.NETWORK_ERROR, True, ""),
        ({"DATA": b"garbage\r\n"}, R.NETWORK_ERROR, True, ""),
    ],
    ids=str,
)
@BOTH
def test_a_server_that_can_not_be_used(
    run: Any, ehlo: bytes, script: dict[str, Any], reason: FailureReason, retryable: bool, code: str
) -> None:
    login = {"username": "mailer", "password": "secret-41"}
    results, server = run(converse(values=login, **{"EHLO": ehlo, **script}))
    assert summary(results) == [(False, reason, retryable, False)] * 5
    assert {result.code for result in results} == {code}
    assert all(result.response for result in results)
    assert server.connections <= 4, "a server that is broken is not hammered"


@BOTH
@pytest.mark.parametrize(
    ("step", "answer", "reason", "retryable"),
    [
        ("MAIL", b"451 4.3.0 try later\r\n", R.PROVIDER_ERROR, True),
        ("MAIL", b"530 5.7.0 log in first\r\n", R.AUTH_ERROR, False),
        ("MAIL", b"552 5.3.4 too big\r\n", R.CONTENT_ERROR, False),
        ("RCPT", b"550 5.1.1 no such user\r\n", R.PROVIDER_ERROR, False),
        ("RCPT", b"450 4.2.1 receives mail too quickly\r\n", R.RATE_LIMITED, True),
        ("DATA", b"554 5.5.1 no\r\n", R.PROVIDER_ERROR, False),
        ("DATA", b"451 4.7.1 rate limit exceeded\r\n", R.RATE_LIMITED, True),
        ("message", b"554 5.6.0 bad message\r\n", R.CONTENT_ERROR, False),
        ("message", b"452 4.3.1 disk full\r\n", R.PROVIDER_ERROR, True),
        ("message", b"550-5.7.1 looks like spam\r\n550 5.7.1 to us\r\n", R.PROVIDER_ERROR, False),
    ],
)
def test_a_refused_message_does_not_hold_up_the_others(
    run: Any, ehlo: bytes, step: str, answer: bytes, reason: FailureReason, retryable: bool
) -> None:
    usual = {"MAIL": b"250 ok\r\n", "RCPT": b"250 ok\r\n", "DATA": b"354 go\r\n", "message": b"250 ok\r\n"}[step]
    results, server = run(converse(EHLO=ehlo, **{step: (usual, usual, answer, usual)}))
    assert summary(results) == [OK, OK, (False, reason, retryable, False), OK, OK]
    assert results[2].code == answer[:9].decode().replace("-", " ")
    assert server.recipients().count("u3@example.com") == server.recipients().count("u4@example.com") == 1
    assert server.connections == 1


def test_lines_of_an_answer_are_joined(run: Any) -> None:
    answer = b"550-5.1.1 The account does not exist.\r\n550-5.1.1 Please check\r\n550 5.1.1 the address.\r\n"
    results, _ = run(converse(1, RCPT=answer))
    assert results[0].response == "5.1.1 The account does not exist. Please check the address."
    assert results[0].code == "550 5.1.1"


def test_long_and_strange_answers_are_cut_and_cleaned(run: Any) -> None:
    results, _ = run(converse(1, RCPT=b"550 \x00\x1b[31m\xff" + b"x" * 4000 + b"\r\n"))
    assert len(results[0].response) == 500
    assert results[0].response.isprintable()


@BOTH
def test_421_in_the_middle_goes_on_with_another_connection(run: Any, ehlo: bytes) -> None:
    for step in ("MAIL", "RCPT", "message"):
        usual = {"MAIL": b"250 ok\r\n", "RCPT": b"250 ok\r\n", "message": b"250 ok\r\n"}[step]
        closing = [b"421 4.3.2 closing\r\n", CLOSE]
        results, server = run(converse(EHLO=ehlo, **{step: (usual, usual, closing, usual)}))
        assert summary(results) == [OK, OK, (False, R.PROVIDER_ERROR, True, False), OK, OK], step
        assert server.connections == 2


@BOTH
def test_a_break_after_the_final_dot_is_ambiguous_and_the_others_are_sent(run: Any, ehlo: bytes) -> None:
    for ending in (CLOSE, RESET, HANG, b"garbage\r\n"):
        results, server = run(converse(EHLO=ehlo, message=(b"250 ok\r\n", ending, b"250 ok\r\n")))
        assert summary(results) == [OK, (False, R.NETWORK_ERROR, True, True), OK, OK, OK]
        assert server.recipients() == ["u0@example.com", "u2@example.com", "u3@example.com", "u4@example.com"]


@BOTH
def test_a_break_before_the_body_is_tried_once_more_on_a_fresh_connection(run: Any, ehlo: bytes) -> None:
    for step, usual in (("MAIL", b"250 ok\r\n"), ("RCPT", b"250 ok\r\n"), ("DATA", b"354 go\r\n")):
        results, server = run(converse(EHLO=ehlo, **{step: (usual, CLOSE, usual)}))
        assert summary(results) == [OK] * 5, step
        assert len(server.recipients()) == 5
        assert server.connections == 2


def test_one_message_that_always_breaks_the_connection_does_not_take_others_along(run: Any) -> None:
    ok = b"250 ok\r\n"
    results, _server = run(converse(RCPT=(ok, ok, CLOSE, CLOSE, ok)))
    assert summary(results) == [OK, OK, (False, R.NETWORK_ERROR, True, False), OK, OK]


def test_a_server_that_takes_two_messages_a_connection(run: Any) -> None:
    last = [b"250 ok\r\n", CLOSE]
    results, server = run(converse(9, message=(b"250 ok\r\n", last) * 8))
    assert summary(results) == [OK] * 9
    assert len(set(server.recipients())) == 9


def test_refused_recipient_but_data_is_accepted(run: Any) -> None:
    """RFC 2920 §3.1 warns of it: the empty message that follows must be nobody's, and the stream stays in step."""
    refusals = (b"550 5.1.1 no\r\n", b"250 ok\r\n", b"550 5.1.1 no\r\n", b"250 ok\r\n")
    results, _server = run(converse(4, RCPT=refusals, message=(b"554 no recipients\r\n", b"250 ok\r\n")))
    assert [result.accepted for result in results] == [False, True, False, True]
    assert {results[0].code, results[2].code} == {"550 5.1.1"}


def test_connection_limit_leaves_the_work_to_the_connections_there_are(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SmtpProvider, "concurrency", 6)
    greeting = (b"220 odd.test\r\n", b"220 odd.test\r\n", b"421 4.7.0 too many connections\r\n")
    results, _server = run(converse(40, greeting=greeting, message=[0.002, b"250 ok\r\n"]))
    assert summary(results) == [OK] * 40


def test_results_are_reported_as_they_come(run: Any) -> None:
    async def scenario() -> None:
        first, goes_on = asyncio.Event(), asyncio.Event()
        async with odd_server(message=(b"250 ok\r\n", [goes_on, b"250 ok\r\n"])) as server:
            seen: list[str] = []

            def callback(message: Any, result: SendResult) -> None:
                seen.append(message.recipient)
                first.set()

            provider = SmtpProvider(network_policy=LOCAL)
            task = asyncio.create_task(provider.send_many(messages(2), credential(server.port), callback))
            await first.wait()
            assert seen == ["u0@example.com"]
            goes_on.set()
            await task
            assert seen == ["u0@example.com", "u1@example.com"]

    run(scenario())


def test_a_hanging_server_costs_one_time_out_and_not_one_a_message(run: Any) -> None:
    async def scenario() -> float:
        started = asyncio.get_running_loop().time()
        results, _ = await converse(50, greeting=HANG)
        assert summary(results) == [(False, R.NETWORK_ERROR, True, False)] * 50
        return asyncio.get_running_loop().time() - started

    assert run(scenario()) < 10, "a second each would be fifty"


def test_an_error_of_the_callback_costs_nobody_a_result(run: Any) -> None:
    async def scenario() -> None:
        async with odd_server() as server:
            seen: list[str] = []

            def callback(message: Any, result: SendResult) -> None:
                seen.append(message.recipient)
                if len(seen) == 2:
                    raise LookupError("callback")

            provider = SmtpProvider(network_policy=LOCAL)
            with pytest.raises(LookupError):
                await provider.send_many(messages(6), credential(server.port), callback)
            assert len(seen) == len(set(seen)) == 6

    run(scenario())


def test_cancelling_leaves_no_connection_in_the_pool(run: Any) -> None:
    async def scenario() -> None:
        async with odd_server(message=(HANG, b"250 ok\r\n")) as server:
            provider, login = SmtpProvider(network_policy=LOCAL), credential(server.port)
            task = asyncio.create_task(provider.send_many(messages(3), login, lambda *_: None))
            await server.heard(b"DATA\r\n")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await provider.send(messages(1)[0], login)).accepted
            assert server.connections == 2

    run(scenario())


def test_helo_is_enough_for_an_old_server(run: Any) -> None:
    results, server = run(converse(3, EHLO=b"500 what?\r\n"))
    assert summary(results) == [OK] * 3
    assert server.lines[1].startswith(b"HELO ")


def test_tls_where_there_is_none(run: Any) -> None:
    for script in ({}, {"greeting": CLOSE}, {"greeting": HANG}):
        results, server = run(converse(3, values={"security": "tls", "verify_certificate": False}, **script))
        assert summary(results) == [(False, R.NETWORK_ERROR, True, False)] * 3
        assert not server.lines or not server.lines[0].startswith(b"EHLO")


def test_starttls_that_fails_half_way(run: Any) -> None:
    ehlo = b"250-odd.test\r\n250 STARTTLS\r\n"
    for answer, reason, retryable in (
        ([b"220 go\r\n", CLOSE], R.NETWORK_ERROR, True),
        ([b"220 go\r\n", b"this is not a handshake\r\n" * 9], R.NETWORK_ERROR, True),
        ([b"220 go\r\n", HANG], R.NETWORK_ERROR, True),
        (b"454 4.3.0 TLS not available\r\n", R.PROVIDER_ERROR, True),
    ):
        login = {"security": "starttls", "verify_certificate": False, "username": "mailer", "password": "secret-41"}
        results, server = run(converse(3, values=login, EHLO=ehlo, STAR=answer))
        assert summary(results) == [(False, reason, retryable, False)] * 3
        assert not [line for line in server.lines if line.startswith((b"AUTH", b"MAIL"))]


def _answers(usual: bytes, *refusals: bytes) -> st.SearchStrategy[tuple[Any, ...]]:
    odd = st.sampled_from([CLOSE, RESET, b"garbage\r\n", [b"421 4.3.2 closing\r\n", CLOSE], [usual, CLOSE], *refusals])
    likely = st.one_of(st.just(usual), st.just(usual), odd)
    return st.lists(likely, max_size=6).map(lambda answers: (*answers, usual))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ehlo=st.sampled_from([PLAIN, PIPELINING, CHUNKING]),
    connections=st.sampled_from([1, 4]),
    greeting=_answers(b"220 odd.test\r\n", b"554 5.3.2 no\r\n"),
    mail=_answers(b"250 ok\r\n", b"451 4.3.0 later\r\n", b"550 5.7.1 no\r\n"),
    rcpt=_answers(b"250 ok\r\n", b"450 4.2.1 later\r\n", b"550 5.1.1 no\r\n"),
    data=_answers(b"354 go\r\n", b"554 5.5.1 no\r\n"),
    message=_answers(b"250 ok\r\n", b"452 4.3.1 full\r\n", b"554 5.6.0 no\r\n"),
    rset=_answers(b"250 ok\r\n"),
)
def test_accepted_means_taken_and_failed_means_not_taken(
    monkeypatch: pytest.MonkeyPatch, connections: int, ehlo: bytes, **script: Any
) -> None:
    """Whatever happens: one result each; nothing is sent twice; and only an ambiguous failure may have been taken."""
    monkeypatch.setattr(SmtpProvider, "concurrency", connections)
    steps = {name.upper() if len(name) == 4 else name: answers for name, answers in script.items()}
    results, server = asyncio.run(converse(8, lane="bulk", EHLO=ehlo, **steps))
    taken = Counter(server.recipients())
    for number, result in enumerate(results):
        times = taken[f"u{number}@example.com"]
        if result.accepted:
            assert times == 1
        elif result.ambiguous:
            assert times <= 1
        else:
            assert times == 0
