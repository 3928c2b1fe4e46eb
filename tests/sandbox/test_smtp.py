"""The pretend mail server, as clients meet it."""

from __future__ import annotations

import smtplib
import socket
import time

import pytest

from tests.sandbox.conftest import Sandbox, mail

HELLO = b"EHLO client.example\r\n"


def envelope(to: str) -> bytes:
    return f"MAIL FROM:<app@acme.example>\r\nRCPT TO:<{to}>\r\nDATA\r\n".encode()


def content(subject: str, body: str = "text") -> bytes:
    return f"Subject: {subject}\r\n\r\n{body}\r\n.\r\n".encode()


def test_offers_the_extensions_that_clients_use(sandbox: Sandbox) -> None:
    with sandbox.client() as client:
        client.ehlo()
        assert {"pipelining", "smtputf8", "8bitmime", "size", "auth"} <= set(client.esmtp_features)
        assert client.esmtp_features["size"] == str(25 * 2**20)
        assert set(client.esmtp_features["auth"].split()) == {"PLAIN", "LOGIN", "XOAUTH2"}


def test_message_is_visible_as_soon_as_it_was_accepted(sandbox: Sandbox) -> None:
    with sandbox.client() as client:
        for number in range(20):
            client.send_message(mail("ada@example.com", subject=f"No. {number}"))
            assert sandbox.messages(limit=1)[0]["subject"] == f"No. {number}"


def test_envelope_group_in_one_write(sandbox: Sandbox) -> None:
    with sandbox.connect() as wire:
        wire.write(HELLO)
        assert wire.replies(1) == ["250"]
        wire.write(envelope("ada@example.com"))
        assert wire.replies(3) == ["250", "250", "354"]
        wire.write(content("one"))
        assert wire.replies(1) == ["250"]
    assert [m["subject"] for m in sandbox.messages()] == ["one"]


def test_end_of_one_message_and_next_envelope_in_one_write(sandbox: Sandbox) -> None:
    with sandbox.connect() as wire:
        wire.write(HELLO)
        wire.replies(1)
        wire.write(envelope("u0@example.com"))
        assert wire.replies(3) == ["250", "250", "354"]
        for number in range(50):
            wire.write(
                content(f"No. {number}", body="line one.\r\n..dot\r\nlast") + envelope(f"u{number + 1}@example.com")
            )
            assert wire.replies(4) == ["250", "250", "250", "354"]
        wire.write(content("No. 50") + b"QUIT\r\n")
        assert wire.replies(2) == ["250", "221"]
    found = sandbox.messages(limit=100)
    assert [(m["to"], m["subject"]) for m in reversed(found)] == [(f"u{n}@example.com", f"No. {n}") for n in range(51)]
    assert found[-1]["text"] == "line one.\n.dot\nlast\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_writes_may_break_anywhere(sandbox: Sandbox, size: int) -> None:
    with sandbox.connect() as wire:
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = (
            HELLO + envelope("a@example.com") + content("one", body=".. ") + envelope("b@example.com") + content("two")
        )
        for start in range(0, len(stream), size):
            wire.write(stream[start : start + size])
        assert wire.replies(9) == ["250", "250", "250", "354", "250", "250", "250", "354", "250"]
    assert [(m["to"], m["text"]) for m in sandbox.messages()] == [
        ("b@example.com", "text\n"),
        ("a@example.com", ". \n"),
    ]


def test_whole_session_in_one_write_and_half_closed(sandbox: Sandbox) -> None:
    with sandbox.connect() as wire:
        wire.write(HELLO + envelope("a@example.com") + content("one") + envelope("b@example.com") + content("two"))
        wire.socket.shutdown(socket.SHUT_WR)
        assert wire.replies(20) == ["250", "250", "250", "354", "250", "250", "250", "354", "250"]
    assert [m["subject"] for m in sandbox.messages()] == ["two", "one"]


def test_client_that_leaves_in_the_middle_of_a_message_leaves_nothing(sandbox: Sandbox) -> None:
    with sandbox.connect() as wire:
        wire.write(HELLO + envelope("a@example.com") + b"Subject: half\r\n\r\nhalf a mes")
        wire.socket.shutdown(socket.SHUT_WR)
        assert wire.replies(5) == ["250", "250", "250", "354"]
        assert wire.lines() == []
    assert sandbox.messages() == []


def test_refused_recipient_in_a_group_does_not_disturb_the_next(sandbox: Sandbox) -> None:
    with sandbox.connect() as wire:
        wire.write(HELLO + envelope("fail-permanent@example.com") + envelope("ada@example.com"))
        assert wire.replies(7) == ["250", "250", "550", "503", "503", "250", "354"]
        wire.write(content("after"))
        assert wire.replies(1) == ["250"]
    assert [m["to"] for m in sandbox.messages()] == ["ada@example.com"]


def test_empty_message(sandbox: Sandbox) -> None:
    with sandbox.connect() as wire:
        wire.write(HELLO + envelope("ada@example.com"))
        wire.replies(4)
        wire.write(b".\r\nNOOP\r\n")
        assert wire.replies(2) == ["250", "250"]
    assert sandbox.messages()[0]["raw"] == ""


def test_bare_line_feeds_do_not_end_a_message(sandbox: Sandbox) -> None:
    with sandbox.connect() as wire:
        wire.write(HELLO + envelope("ada@example.com"))
        wire.replies(4)
        wire.write(b"Subject: x\r\n\r\na\n.\nb\r\n.\nc\n.\r\nd\r\n.\r\n")
        assert wire.replies(1) == ["250"]
    assert sandbox.messages()[0]["raw"] == "Subject: x\r\n\r\na\n.\nb\r\n\nc\n.\r\nd\r\n"


def test_nonsense_is_refused_and_the_session_goes_on(sandbox: Sandbox) -> None:
    with sandbox.connect() as wire:
        wire.write(HELLO + b"\r\nBOGUS\r\n\xff\xfe\r\nAUTH PLAIN !!!\r\nDATA\r\n" + b"x" * 300_000 + b"\r\n")
        assert wire.replies(7) == ["250", "500", "500", "500", "501", "503", "500"]
        wire.write(b"MAIL FROM:<app@acme.example>\r\nRCPT TO:<>\r\nRSET\r\n" + envelope("ada@example.com"))
        assert wire.replies(6) == ["250", "501", "250", "250", "250", "354"]
        wire.write(content("after"))
        assert wire.replies(1) == ["250"]


def test_large_message_arrives_whole_and_too_large_is_refused(sandbox: Sandbox) -> None:
    line = b"x" * 78 + b"\r\n"
    with sandbox.connect() as wire:
        wire.write(HELLO + envelope("ada@example.com"))
        wire.replies(4)
        wire.write(b"Subject: big\r\n\r\n" + line * 100_000 + b".\r\n")
        assert wire.replies(1) == ["250"]
        wire.write(envelope("ada@example.com"))
        wire.replies(3)
        wire.write(line * (25 * 2**20 // len(line) + 1) + b".\r\n" + envelope("bob@example.com"))
        assert wire.replies(4) == ["552", "250", "250", "354"]
        wire.write(content("small"))
        assert wire.replies(1) == ["250"]
        wire.write(b"MAIL FROM:<app@acme.example> SIZE=99999999\r\n")
        assert wire.replies(1) == ["552"]
    found = sandbox.messages()
    assert [m["subject"] for m in found] == ["small", "big"]
    assert len(found[1]["raw"]) == len("Subject: big\r\n\r\n") + 8_000_000


def test_line_longer_than_the_standard_allows_is_refused(sandbox: Sandbox) -> None:
    with sandbox.connect() as wire:
        for length, answer in ((998, "250"), (999, "500"), (200_000, "500")):
            wire.write(HELLO + envelope("ada@example.com"))
            wire.replies(4)
            wire.write(b"Subject: x\r\n\r\n" + b"x" * length + b"\r\n.\r\n")
            assert wire.replies(1) == [answer]


def test_international_addresses_and_empty_sender(sandbox: Sandbox) -> None:
    with sandbox.connect() as wire:
        wire.write(HELLO + "MAIL FROM:<> SMTPUTF8 BODY=8BITMIME\r\nRCPT TO:<münze@exämple.com>\r\nDATA\r\n".encode())
        assert wire.replies(4) == ["250", "250", "250", "354"]
        wire.write("Subject: Grüße\r\nX: ü\r\n\r\nSchöne Grüße\r\n.\r\n".encode())
        assert wire.replies(1) == ["250"]
    (found,) = sandbox.messages(to="MÜNZE@exämple.com")
    assert (found["from"], found["subject"], found["text"]) == ("", "Grüße", "Schöne Grüße\n")
    assert found["headers"] == {"Subject": "Grüße", "X": "ü"}


@pytest.mark.parametrize("password", ["wrong", "wrong-one", "invalid", "invalid42"])
def test_refused_passwords(sandbox: Sandbox, password: str) -> None:
    with sandbox.client() as client, pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        client.login("acme", password)
    assert refused.value.smtp_code == 535
    assert refused.value.smtp_error == b"5.7.8 Authentication credentials invalid"


@pytest.mark.parametrize("mechanism", ["plain", "login"])
def test_login_becomes_the_tenant(sandbox: Sandbox, mechanism: str) -> None:
    with sandbox.client() as client:
        client.ehlo()
        client.user, client.password = "globex", "anything" * 40
        client.auth(mechanism.upper(), getattr(client, f"auth_{mechanism}"))
        client.send_message(mail("ada@example.com"))
    assert sandbox.messages()[0]["tenant"] == "globex"
    sandbox.send("bob@example.com")
    assert sandbox.messages(to="bob@example.com")[0]["tenant"] == ""


def test_a_thousand_messages_over_one_connection(sandbox: Sandbox) -> None:
    with sandbox.client() as client:
        client.ehlo()
        raw = mail("ada@example.com").as_bytes()
        for number in range(1_000):
            client.sendmail("app@acme.example", [f"u{number}@example.com"], raw)
    listed = sandbox.request("/api/messages", limit=1_000).json()
    assert listed["total"] == 1_000
    assert [m["to"] for m in listed["messages"]] == [f"u{number}@example.com" for number in reversed(range(1_000))]


def test_many_connections_at_once(sandbox: Sandbox) -> None:
    wires = [sandbox.connect() for _ in range(50)]
    for number, wire in enumerate(wires):
        wire.write(HELLO + envelope(f"u{number}@example.com"))
    for number, wire in enumerate(wires):
        assert wire.replies(4)[-1] == "354"
        wire.write(content(f"No. {number}"))
    for wire in wires:
        assert wire.replies(1) == ["250"]
        wire.__exit__()
    assert {(m["to"], m["subject"]) for m in sandbox.messages()} == {
        (f"u{n}@example.com", f"No. {n}") for n in range(50)
    }


def test_slow_recipient_does_not_hold_up_others(sandbox: Sandbox) -> None:
    with sandbox.connect() as slow:
        slow.write(HELLO + envelope("slow+2@example.com"))
        assert slow.replies(4)[-1] == "354"
        began = time.monotonic()
        slow.write(content("slow"))
        sandbox.send("quick@example.com")
        assert [m["to"] for m in sandbox.messages()] == ["quick@example.com"]
        assert slow.replies(1) == ["250"]
        assert time.monotonic() - began >= 2
    assert [m["to"] for m in sandbox.messages()] == ["slow+2@example.com", "quick@example.com"]
