"""What an answer means: the table, and the words that are kept of it."""

from __future__ import annotations

import socket
import ssl

import pytest

from notification_service.lib.net import BlockedAddress
from notifications.providers.base import FailureReason as R
from notifications.providers.smtp_answers import Answers, classify
from notifications.providers.smtp_client import Reply, Server, SmtpError

ANSWERS = Answers(Server("mail.test", 587, "none", "mailer", "hunter2-xy"))


@pytest.mark.parametrize(
    ("stage", "code", "enhanced", "words", "reason", "retryable"),
    [
        ("auth", 535, "5.7.8", "bad credentials", R.AUTH_ERROR, False),
        ("auth", 534, "5.7.9", "application-specific password required", R.AUTH_ERROR, False),
        ("auth", 538, "", "encryption required", R.AUTH_ERROR, False),
        ("auth", 504, "", "mechanism not supported", R.AUTH_ERROR, False),
        ("auth", 454, "4.7.0", "temporary authentication failure", R.PROVIDER_ERROR, True),
        ("auth", 421, "4.7.0", "try again later", R.RATE_LIMITED, True),
        ("mail", 530, "5.7.0", "must issue STARTTLS first", R.AUTH_ERROR, False),
        ("mail", 432, "4.3.2", "concurrent connections limit exceeded", R.RATE_LIMITED, True),
        ("mail", 550, "5.7.60", "client does not have permissions to send as this sender", R.PROVIDER_ERROR, False),
        ("rcpt", 550, "5.1.1", "no such user", R.PROVIDER_ERROR, False),
        ("rcpt", 551, "", "user not local", R.PROVIDER_ERROR, False),
        ("rcpt", 553, "5.1.3", "bad address", R.PROVIDER_ERROR, False),
        ("rcpt", 450, "4.2.0", "mailbox busy", R.PROVIDER_ERROR, True),
        ("rcpt", 450, "4.2.1", "receiving at a rate that prevents", R.RATE_LIMITED, True),
        ("rcpt", 451, "4.7.1", "greylisted", R.PROVIDER_ERROR, True),
        ("rcpt", 451, "4.7.1", "Throttling", R.RATE_LIMITED, True),
        ("rcpt", 452, "4.2.2", "mailbox full", R.PROVIDER_ERROR, True),
        ("rcpt", 552, "5.2.2", "mailbox full", R.PROVIDER_ERROR, False),
        ("rcpt", 421, "", "closing", R.PROVIDER_ERROR, True),
        ("message", 552, "5.3.4", "message too big", R.CONTENT_ERROR, False),
        ("message", 552, "", "message size exceeds fixed limit", R.CONTENT_ERROR, False),
        ("message", 554, "5.6.0", "bad content", R.CONTENT_ERROR, False),
        ("message", 554, "5.7.1", "spam", R.PROVIDER_ERROR, False),
        ("message", 454, "4.7.1", "Throttling failure: Maximum sending rate exceeded", R.RATE_LIMITED, True),
        ("message", 354, "", "go on", R.PROVIDER_ERROR, True),
    ],
)  # fmt: skip
def test_classification(stage: str, code: int, enhanced: str, words: str, reason: R, retryable: bool) -> None:
    assert classify(stage, code, enhanced, words) == (reason, retryable)


def test_every_code_has_a_meaning() -> None:
    for code in range(400, 600):
        for enhanced in ("", f"{code // 100}.7.0", f"{code // 100}.1.1"):
            reason, retryable = classify("rcpt", code, enhanced, "")
            assert retryable is (code < 500 and reason is not R.AUTH_ERROR)


@pytest.mark.parametrize(
    ("line", "identifier"),
    [
        ("2.0.0 Ok: queued as 4VQx2l1Q3Lz9sWc", "4VQx2l1Q3Lz9sWc"),
        ("2.6.0 message received; queued as <20261120.1@mail.test>", "20261120.1@mail.test"),
        ("OK id=1rTq3x-0007Yx-2E", "1rTq3x-0007Yx-2E"),
        ("Ok 0100018f2c7d5b3a-8d2f1c66-000000", "0100018f2c7d5b3a-8d2f1c66-000000"),
        ("2.0.0 OK  1732100000 a1b2c3d4e5f6g-12x.34 - gsmtp", "a1b2c3d4e5f6g-12x.34"),
        ("2.0.0 Ok", ""),
        ("OK thank you", ""),
    ],
)
def test_identifier_of_the_server(line: str, identifier: str) -> None:
    assert ANSWERS.accepted(Reply(250, (line.encode(),))).provider_message_id == identifier


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (BlockedAddress("x.test"), False),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), True),
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), False),
        (ssl.SSLError(1, "wrong version number"), True),
        (ConnectionRefusedError(111, "Connect call failed ('10.0.0.1', 25)"), True),
        (ConnectionResetError("the server closed the connection"), True),
        (TimeoutError("the server did not answer within 30 s"), True),
        (SmtpError("the server sent something that is not an SMTP reply"), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_of_the_network(error: Exception, retryable: bool) -> None:
    for ambiguous in (True, False):
        result = ANSWERS.broken(error, ambiguous=ambiguous)
        assert (result.accepted, result.reason) == (False, R.NETWORK_ERROR)
        assert (result.retryable, result.ambiguous) == (retryable, ambiguous)
        assert result.response
        assert "10.0.0.1" not in result.response


def test_an_unexpected_error_is_told_without_the_password() -> None:
    result = ANSWERS.broken(LookupError("no hunter2-xy here"))
    assert (result.reason, result.retryable) == (R.UNKNOWN_ERROR, True)
    assert result.response == "LookupError: no •••• here"


def test_the_server_is_shown_without_the_password() -> None:
    assert "hunter2" not in repr(Server("mail.test", 587, "none", "mailer", "hunter2-xy"))
