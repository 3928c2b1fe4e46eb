"""What an SMTP server's answer means for us: one table from codes to (reason, worth a retry?).

Sources: RFC 5321 §4.2.3, RFC 4954 §6 (authentication), RFC 3463 and RFC 5248 (enhanced codes), and the published bounce
and throttling tables of Gmail, Microsoft 365 and Amazon SES, which agree on the rows below.
"""

from __future__ import annotations

import base64
import os
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from notification_service.lib.net import BlockedAddress
from notifications.providers.base import FailureReason, SendResult
from notifications.providers.oauth_tokens import NoAccessToken
from notifications.providers.smtp_client import AuthUnavailable, Refused, Reply, Server, SmtpError

MAX_RESPONSE = 500


@dataclass(frozen=True, slots=True)
class Rule:
    """Regular expressions that the whole code, the whole enhanced code and some of the words have to match."""

    code: str
    enhanced: str
    words: str
    reason: FailureReason
    retryable: bool

    def matches(self, code: str, enhanced: str, words: str) -> bool:
        """Whether the rule speaks about this answer."""
        return bool(
            re.fullmatch(self.code, code)
            and re.fullmatch(self.enhanced, enhanced)
            and re.search(self.words, words, re.IGNORECASE)
        )


_THROTTLED = r"\brate\b|rate.?limit|throttl|too many|too fast|unusual rate"
_R = FailureReason

#: The first row that matches decides. The last two match everything.
RULES: tuple[Rule, ...] = (
    # Temporary failure of the server's own user database, not a wrong password (RFC 4954 §6).
    Rule(r"454", r"4\.7\.0|", "", _R.PROVIDER_ERROR, True),
    Rule(r"530|534|535|538", r".*", "", _R.AUTH_ERROR, False),
    Rule(r"5..", r"5\.7\.(8|9|10|11)", "", _R.AUTH_ERROR, False),
    # "Too many connections" of Microsoft 365; Gmail's and others' throttling.
    Rule(r"432", r".*", "", _R.RATE_LIMITED, True),
    Rule(r"421", r"4\.7\.0", "", _R.RATE_LIMITED, True),
    Rule(r"450", r"4\.2\.1", "", _R.RATE_LIMITED, True),
    Rule(r"4..", r".*", _THROTTLED, _R.RATE_LIMITED, True),
    # The message itself: too large, or a body that the server does not take.
    Rule(r"5..", r"5\.3\.4|5\.2\.3|5\.6\.\d+", "", _R.CONTENT_ERROR, False),
    Rule(r"552", r"", r"size|large|length", _R.CONTENT_ERROR, False),
    Rule(r"4..", r".*", "", _R.PROVIDER_ERROR, True),
    Rule(r"...", r".*", "", _R.PROVIDER_ERROR, False),
)


def classify(stage: str, code: int, enhanced: str, words: str) -> tuple[FailureReason, bool]:
    """Return (reason, worth a retry?) of a refusal. ``stage`` is the step that was refused."""
    if stage == "auth" and code >= 500:  # whatever the words, it is the log-in that was refused
        return _R.AUTH_ERROR, False
    if code < 400:  # a yes where another yes was due: the server does not speak the protocol
        return _R.PROVIDER_ERROR, True
    rule = next(rule for rule in RULES if rule.matches(str(code), enhanced, words))
    return rule.reason, rule.retryable


class Answers:
    """Turns replies and errors into results, with the log-in of one server never among the words."""

    def __init__(self, server: Server) -> None:
        self._secrets: tuple[str, ...] = ()
        if server.password:
            password = server.password.encode()
            plain = b"\0" + (server.username or "").encode() + b"\0" + password
            forms = {server.password, base64.b64encode(plain).decode(), base64.b64encode(password).decode()}
            self._secrets = tuple(sorted(forms, key=len, reverse=True))

    def hide(self, *secrets: str) -> None:
        """Leave these out of all words, too."""
        self._secrets = tuple(sorted({*self._secrets, *secrets}, key=len, reverse=True))

    def words(self, text: str) -> str:
        """The other side's words, fit to be stored: without secrets or control characters, of bounded length."""
        for secret in self._secrets:
            text = text.replace(secret, "••••")
        if not text.isprintable():
            text = "".join(char if char.isprintable() else " " for char in text)
        return text[:MAX_RESPONSE]

    def accepted(self, reply: Reply, refused_copies: Sequence[str] = ()) -> SendResult:
        """The server took the message; ``refused_copies`` are those who get none, with its words."""
        text = self.words(reply.text)
        queue_id = _queue_id(text)
        if refused_copies:
            text = self.words(f"{text} (no copy to {'; '.join(refused_copies)})")
        return SendResult.success(code=_code(reply), response=text, provider_message_id=queue_id)

    def refused(self, stage: str, reply: Reply) -> SendResult:
        """The server said no to one step."""
        text = reply.text
        reason, retryable = classify(stage, reply.code, reply.enhanced, text)
        return SendResult.failure(reason, self.words(text), code=_code(reply), retryable=retryable)

    def broken(self, error: Exception, *, ambiguous: bool = False) -> SendResult:
        """The conversation ended without an answer to this message.

        A certificate that does not verify, an address that is not allowed and a server without the encryption that
        the credential asks for are not retried: they stay so until a person acts. All else on the network passes.
        """
        reason, retryable = _R.NETWORK_ERROR, True
        match error:
            case NoAccessToken():
                return error.result
            case Refused():
                return self.refused(error.stage, error.reply)
            case BlockedAddress():
                text, retryable = "mail server address is not allowed", False
            case ssl.SSLCertVerificationError():
                why = getattr(error, "verify_message", "") or str(error)
                text, retryable = f"the server's certificate is not valid: {why}", False
            case ssl.SSLError():
                text = f"the TLS handshake failed: {getattr(error, 'reason', '') or error}"
            case socket.gaierror():
                text = f"the host name of the mail server does not resolve: {error.strerror}"
            case AuthUnavailable():
                text, reason, retryable = str(error), _R.AUTH_ERROR, False
            case SmtpError():
                text, retryable = str(error), "STARTTLS" not in str(error)
            case TimeoutError():
                text = str(error) or "time-out"
            case OSError():
                text = os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
            case _:
                text, reason = f"{type(error).__name__}: {error}", _R.UNKNOWN_ERROR
        return SendResult.failure(reason, self.words(text), retryable=retryable, ambiguous=ambiguous)


def _code(reply: Reply) -> str:
    return f"{reply.code} {reply.enhanced}".strip()


_QUEUE_ID = re.compile(
    r"queued (?:mail for delivery )?as:? <?([\w.@+-]{4,})"  # Postfix, aiosmtpd-like servers, Exim's cousins
    r"|\bid=([\w-]{6,})"  # Exim
    r"|^(?:2\.\d\.\d )?ok:?\s+(?:\d+\s+)?([\w-]*\d[\w.-]{9,})",  # Amazon SES, Gmail
    re.IGNORECASE,
)


def _queue_id(text: str) -> str:
    match = _QUEUE_ID.search(text)
    return next((group for group in match.groups() if group), "").rstrip(".") if match else ""
