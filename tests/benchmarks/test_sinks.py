"""The far ends: what they count is what arrived, whatever way it was cut up and whatever they were told to do."""

from __future__ import annotations

import http.client
import smtplib
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from benchmarks.sinks.client import SinkClient
from notification_service.local.ports import free_ports
from tests.running_service import wait_until

ROOT = Path(__file__).resolve().parents[2]
MakeSink = Callable[[str], SinkClient]


@pytest.fixture
def make_sink() -> Iterator[MakeSink]:
    """Start a sink in a process of its own."""
    programs: list[subprocess.Popen[bytes]] = []
    clients: list[SinkClient] = []

    def make(kind: str) -> SinkClient:
        port, control_port = free_ports(2)
        command = [sys.executable, "-m", f"benchmarks.sinks.{kind}_sink"]
        ports = [f"--port={port}", f"--control-port={control_port}"]
        programs.append(subprocess.Popen([*command, *ports], cwd=ROOT))
        clients.append(SinkClient(port, control_port))
        wait_until(clients[-1].ready, 20)
        return clients[-1]

    yield make
    for client in clients:
        client.close()
    for program in programs:
        program.terminate()
        program.wait(10)


def mail(message_id: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["X-Notification-ID"] = "a@example.com", "b@example.com", message_id
    message.set_content("Hello\n.\n..dots\n")
    return message


def test_mails_and_different_mails_are_counted(make_sink: MakeSink) -> None:
    sink = make_sink("smtp")
    with smtplib.SMTP("127.0.0.1", sink.port) as client:
        for name in ("one", "two", "two"):
            client.send_message(mail(name))
    stats = sink.stats()
    assert (stats.messages, stats.distinct, stats.duplicates) == (3, 2, 1)
    assert sink.ids() == {"one", "two"}
    assert sink.times(["one", "three"])["three"] is None
    sink.reset()
    assert sink.stats().messages == 0


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_pipelined_stream_may_be_cut_anywhere(make_sink: MakeSink, size: int) -> None:
    sink = make_sink("smtp")
    one = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nX-Notification-ID: %d\r\n\r\nHi\r\n.\r\n"
    stream = b"EHLO me\r\n" + b"".join(one % number for number in range(20)) + b"QUIT\r\n"
    with socket.create_connection(("127.0.0.1", sink.port), timeout=10) as client:
        for start in range(0, len(stream), size):
            client.sendall(stream[start : start + size])
        answers = client.makefile("rb").read().decode().splitlines()
    assert [line[:3] for line in answers if line.startswith(("354", "250 2.0.0 taken", "221"))] == [
        *["354", "250"] * 20,
        "221",
    ]
    assert sink.stats() == (20, 20, 0)


def test_refusals_are_answered_and_not_counted_as_arrived(make_sink: MakeSink) -> None:
    sink = make_sink("smtp")
    with smtplib.SMTP("127.0.0.1", sink.port) as client:
        for kind, code in (("4xx", 451), ("5xx", 554)):
            sink.fault(kind)
            with pytest.raises(smtplib.SMTPDataError) as refused:
                client.send_message(mail("one"))
            assert refused.value.smtp_code == code
        sink.fault()
        client.send_message(mail("two"))
    assert sink.stats() == (1, 1, 2)


def test_a_dropped_message_was_taken_and_not_answered(make_sink: MakeSink) -> None:
    sink = make_sink("smtp")
    sink.fault("drop")
    client = smtplib.SMTP("127.0.0.1", sink.port)
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
        client.send_message(mail("one"))
    client.close()
    assert sink.stats() == (1, 1, 0)


def test_text_messages_are_counted_by_their_number(make_sink: MakeSink) -> None:
    sink = make_sink("http")
    client = http.client.HTTPConnection("127.0.0.1", sink.port, timeout=10)
    for number in ("%2B4915120000001", "%2B4915120000002", "%2B4915120000002"):
        client.request("POST", "/2010-04-01/Accounts/AC/Messages.json", f"To={number}&From=%2B1500&Body=Hi")
        answer = client.getresponse()
        assert answer.status == 201
        answer.read()
    client.close()
    assert sink.stats() == (3, 2, 0)


def test_a_wrong_question_is_refused_by_name(make_sink: MakeSink) -> None:
    sink = make_sink("http")
    with pytest.raises(ValueError, match="unknown fault 'earthquake'"):
        sink.fault("earthquake")
