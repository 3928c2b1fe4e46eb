"""Orderly conversations with a real SMTP server: TLS, log-in, content, reuse of connections, checks."""

from __future__ import annotations

import asyncio
import email
import ssl
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from notification_service.lib.net import PUBLIC_ONLY
from notifications.providers.base import NOT_BEGUN, FailureReason, OutgoingMessage, SendResult
from notifications.providers.smtp import SmtpProvider
from tests.providers.smtp_servers import (
    LOCAL,
    PASSWORD,
    USERNAME,
    credential,
    free_port,
    mail_server,
    messages,
    odd_server,
    send_all,
)

Certificate = tuple[Path, ssl.SSLContext]
LOGIN = {"username": USERNAME, "password": PASSWORD}


def parse(data: bytes | str | None) -> EmailMessage:
    assert isinstance(data, bytes)
    message = email.message_from_bytes(data, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


async def send_to(
    port: int, count: int = 1, *, content: dict[str, Any] | None = None, **values: Any
) -> list[SendResult]:
    provider = SmtpProvider(network_policy=LOCAL)
    try:
        results = await send_all(provider, messages(count, **(content or {})), credential(port, **values))
    finally:
        await provider.aclose()
    return list(results.values())


@pytest.mark.parametrize("pipelining", [True, False])
def test_messages_arrive_whole_and_once(run: Any, pipelining: bool) -> None:
    content = {
        "subject": "Grüße aus Zürich",
        "text": ".leading dot\n..two\nEnd",
        "html": "<p>Größe</p>\n.\n<p>x</p>",
        "reply_to": "answers@acme.test",
        "from_name": "Ácme, Inc.",
    }
    with mail_server(pipelining=pipelining) as server:
        results = run(send_to(server.port, 30, content=content))
    assert {(result.accepted, result.code, result.provider_message_id) for result in results} == {
        (True, "250 2.0.0", "4F2A1B77")
    }
    assert sorted(envelope.rcpt_tos[0] for envelope in server.envelopes) == sorted(
        f"u{number}@example.com" for number in range(30)
    )
    message = parse(server.envelopes[0].content)
    assert message["Subject"] == "Grüße aus Zürich"
    assert message["From"].addresses[0].display_name == "Ácme, Inc."
    assert message["Reply-To"] == "answers@acme.test"
    plain, rich = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert rich is not None
    assert plain.get_content().replace("\r\n", "\n") == ".leading dot\n..two\nEnd"
    assert rich.get_content().replace("\r\n", "\n") == "<p>Größe</p>\n.\n<p>x</p>"


@pytest.mark.parametrize(("pipelining", "lane"), [(True, "normal"), (False, "normal"), (True, "bulk")])
def test_who_is_stopped_ends_what_it_has_begun(run: Any, pipelining: bool, lane: str) -> None:
    """What the server got was answered for, and of everything else it got nothing."""

    async def stop_at_the_tenth(port: int) -> list[tuple[OutgoingMessage, SendResult]]:
        provider = SmtpProvider(network_policy=LOCAL)
        results: list[tuple[OutgoingMessage, SendResult]] = []

        def on_result(message: OutgoingMessage, result: SendResult) -> None:
            results.append((message, result))
            if len(results) == 10:
                provider.stop()

        await provider.send_many(messages(2000, lane), credential(port), on_result)
        await provider.aclose()
        return results

    with mail_server(pipelining=pipelining) as server:
        results = run(stop_at_the_tenth(server.port))
    assert len({message.id for message, _ in results}) == len(results) == 2000
    sent = {message.recipient for message, result in results if result.accepted}
    assert 10 <= len(sent) < 300, "eight connections, with 16 messages each at the most and one behind each"
    assert sum(result is NOT_BEGUN for _, result in results) == 2000 - len(sent)
    assert sorted(envelope.rcpt_tos[0] for envelope in server.envelopes) == sorted(sent)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_starttls_with_a_valid_certificate_and_a_log_in(
    run: Any, certificate: Certificate, monkeypatch: pytest.MonkeyPatch, mechanism: str
) -> None:
    path, context = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with mail_server(starttls=context, login=True, mechanisms=(mechanism,)) as server:
        (result,) = run(send_to(server.port, host="localhost", security="starttls", **LOGIN))
    assert result.accepted, result
    assert len(server.envelopes) == 1


def test_implicit_tls(run: Any, certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    path, context = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with mail_server(tls=context) as server:
        results = run(send_to(server.port, 20, security="tls"))
    assert all(result.accepted for result in results)


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_certificate_that_does_not_verify_is_not_retried(run: Any, certificate: Certificate, security: str) -> None:
    side = {"tls" if security == "tls" else "starttls": certificate[1]}
    with mail_server(**side) as server:
        (result,) = run(send_to(server.port, security=security))
        (unverified,) = run(send_to(server.port, security=security, verify_certificate=False))
    assert result.reason is FailureReason.NETWORK_ERROR
    assert not result.retryable
    assert "certificate" in result.response
    assert unverified.accepted


def test_plain_server_where_starttls_was_asked_for_gets_nothing_in_clear(run: Any) -> None:
    async def scenario() -> None:
        async with odd_server() as server:
            (result,) = await send_to(server.port, security="starttls", **LOGIN)
            assert result.reason is FailureReason.NETWORK_ERROR
            assert not result.retryable
            assert "STARTTLS" in result.response
            assert {line[:4] for line in server.lines} == {b"EHLO"}

    run(scenario())


def test_answers_sent_before_the_handshake_are_forgotten(run: Any, certificate: Certificate) -> None:
    async def scenario() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mitm.test\r\n")
            await reader.readline()
            writer.write(b"250-mitm.test\r\n250 STARTTLS\r\n")
            await reader.readline()
            writer.write(b"220 go\r\n250-injected\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n235 injected\r\n")
            await writer.drain()
            await writer.start_tls(certificate[1])
            heard.append(await reader.readline())
            writer.write(b"250 inside.test\r\n")
            heard.append(await reader.readline())
            writer.close()
            over.set()

        heard: list[bytes] = []
        over = asyncio.Event()
        listener = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        (result,) = await send_to(port, security="starttls", verify_certificate=False, **LOGIN)
        await over.wait()
        listener.close()
        # Inside the tunnel the server offers no log-in, whatever was said outside of it: the password stays here.
        assert result.reason is FailureReason.AUTH_ERROR
        assert heard[0].startswith(b"EHLO")
        assert not any(heard[1:])

    run(scenario())


def test_wrong_password_is_tried_once_and_never_shown(run: Any) -> None:
    wrong = {"username": USERNAME, "password": "wrong-secret-99"}
    with mail_server(login=True) as server:
        results = run(send_to(server.port, 25, **wrong))
    assert {result.reason for result in results} == {FailureReason.AUTH_ERROR}
    assert {(result.code, result.retryable) for result in results} == {("535 5.7.8", False)}
    assert "wrong-secret-99" not in repr(results)


def test_a_server_that_repeats_the_password_does_not_get_it_stored(run: Any) -> None:
    async def scenario() -> None:
        async with odd_server(AUTH=b"535 5.7.8 bad login AG1haWxlcgBodW50ZXIyLXh5 hunter2-xy\r\n") as server:
            (result,) = await send_to(server.port, username="mailer", password="hunter2-xy")
            check = await SmtpProvider(network_policy=LOCAL).check(
                credential(server.port, username="mailer", password="hunter2-xy")
            )
        for shown in (repr(result), repr(check)):
            assert "hunter2" not in shown
            assert "AG1haWxlcgBodW50ZXIyLXh5" not in shown
        assert result.response == "5.7.8 bad login •••• ••••"

    run(scenario())


def test_connections_are_reused_between_calls_and_reopened_when_they_died(run: Any) -> None:
    async def scenario() -> None:
        async with odd_server() as server:
            provider, login = SmtpProvider(network_policy=LOCAL), credential(server.port)
            for _ in range(5):
                assert (await provider.send(messages(1)[0], login)).accepted
            assert server.connections == 1
            server.close()  # every connection that rests is cut
            assert (await provider.send(messages(1)[0], login)).accepted
            assert server.connections == 2
            other = login.model_copy(update={"from_name": "Somebody else"})
            assert (await provider.send(messages(1)[0], other)).accepted
            assert server.connections == 3  # another credential never gets somebody's connection
            await provider.aclose()

    run(scenario())


def test_idle_connections_are_closed(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with odd_server() as server:
            provider, login = SmtpProvider(network_policy=LOCAL), credential(server.port)
            monkeypatch.setattr("notifications.providers.smtp.IDLE_SECONDS", 0.05)
            assert (await provider.send(messages(1)[0], login)).accepted
            await asyncio.sleep(0.1)
            assert (await provider.send(messages(1)[0], login)).accepted
            assert server.connections == 2
            await provider.aclose()
            await server.heard(b"QUIT\r\n", 2)

    run(scenario())


def test_a_connection_is_retired_after_500_messages(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(SmtpProvider, "concurrency", 1)
        async with odd_server() as server:
            results = await send_to(server.port, 1100)
            assert all(result.accepted for result in results)
            assert server.connections == 3
            assert len(server.recipients()) == len(set(server.recipients())) == 1100

    run(scenario())


def test_never_more_connections_than_allowed(run: Any) -> None:
    async def scenario() -> None:
        async with odd_server(message=[0.005, b"250 ok\r\n"]) as server:
            assert all(result.accepted for result in await send_to(server.port, 200))
            assert 1 < server.connections <= SmtpProvider.concurrency

    run(scenario())


def test_non_ascii_addresses(run: Any) -> None:
    async def scenario(port: int) -> dict[str, SendResult]:
        provider = SmtpProvider(network_policy=LOCAL)
        batch = [
            type(message)(message.id, address, message.content)
            for message, address in zip(messages(2), ["jörg@example.com", "ada@müller.example"], strict=True)
        ]
        return await send_all(provider, batch, credential(port))

    with mail_server() as server:
        results = run(scenario(server.port))
    assert all(result.accepted for result in results.values())
    taken = {envelope.rcpt_tos[0]: envelope for envelope in server.envelopes}
    assert set(taken) == {"jörg@example.com", "ada@xn--mller-kva.example"}
    assert taken["jörg@example.com"].smtp_utf8
    assert parse(taken["jörg@example.com"].content)["To"] == "jörg@example.com"

    async def without_smtputf8() -> dict[str, SendResult]:
        async with odd_server() as odd:
            return await scenario(odd.port)

    results = run(without_smtputf8())
    assert results["ada@müller.example"].accepted
    assert results["jörg@example.com"].reason is FailureReason.CONTENT_ERROR


def test_a_message_larger_than_the_server_takes_is_not_sent(run: Any) -> None:
    async def scenario() -> None:
        async with odd_server(EHLO=b"250-odd.test\r\n250 SIZE 2000\r\n") as server:
            small, large = messages(1)[0], messages(1, subject="x", text="y" * 3000)[0]
            provider = SmtpProvider(network_policy=LOCAL)
            results = [await provider.send(message, credential(server.port)) for message in (small, large)]
            assert results[0].accepted
            assert (results[1].reason, results[1].retryable) == (FailureReason.CONTENT_ERROR, False)
            assert b"SIZE=" in server.taken[0][0]
            assert len(server.taken) == 1

    run(scenario())


@pytest.mark.parametrize(
    "address",
    [
        "a@b.test>\r\nRCPT TO:<evil@x.test",
        "a@b.test\nDATA",
        "a b@c.test",
        "<a@b.test>",
        "a@b.test\0",
        "",
        "@",
        "x" * 300 + "@b.test",
    ],
)
def test_an_address_can_not_become_a_command(run: Any, address: str) -> None:
    async def scenario() -> None:
        async with odd_server() as server:
            message = messages(1)[0]
            provider = SmtpProvider(network_policy=LOCAL)
            result = await provider.send(type(message)(message.id, address, message.content), credential(server.port))
            assert result.reason is FailureReason.CONTENT_ERROR
            assert not [line for line in server.lines if line.startswith((b"MAIL", b"RCPT"))]

    run(scenario())


def test_a_host_that_is_not_public_is_refused(run: Any) -> None:
    async def scenario() -> None:
        async with odd_server() as server:
            provider = SmtpProvider(network_policy=PUBLIC_ONLY)
            for host in ("127.0.0.1", "localhost", "2130706433", "0x7f000001", "::ffff:127.0.0.1"):
                result = await provider.send(messages(1)[0], credential(server.port, host=host))
                assert (result.reason, result.retryable) == (FailureReason.NETWORK_ERROR, False)
                assert result.response == "mail server address is not allowed"
            assert server.connections == 0

    run(scenario())


def test_refused_connection_and_unknown_host(run: Any) -> None:
    for values, words in (({"port": free_port()}, "refused"), ({"port": 25, "host": "nowhere.invalid"}, "resolve")):
        (result,) = run(send_to(**values))
        assert (result.reason, result.retryable, result.ambiguous) == (FailureReason.NETWORK_ERROR, True, False)
        assert words in result.response


def test_check_reports_each_step_in_the_servers_words(run: Any, certificate: Certificate) -> None:
    provider = SmtpProvider(network_policy=LOCAL)
    with mail_server(starttls=certificate[1], login=True) as server:
        login = credential(server.port, security="starttls", verify_certificate=False, **LOGIN)
        result = run(provider.check(login))
        wrong = run(provider.check(login.model_copy(update={"password": type(login.password)("no")})))  # type: ignore[misc,call-arg]
    assert result.ok
    assert [step.name for step in result.steps] == ["connect", "greeting", "ehlo", "starttls", "auth", "noop"]
    assert all(step.ok for step in result.steps)
    assert not wrong.ok
    assert wrong.reason is FailureReason.AUTH_ERROR
    assert wrong.steps[-1].name == "auth"
    assert wrong.detail.startswith("535 5.7.8")
    assert server.envelopes == []


def test_check_of_a_dead_server(run: Any) -> None:
    result = run(SmtpProvider(network_policy=LOCAL).check(credential(free_port())))
    assert not result.ok
    assert [(step.name, step.ok) for step in result.steps] == [("connect", False)]
    assert result.reason is FailureReason.NETWORK_ERROR
