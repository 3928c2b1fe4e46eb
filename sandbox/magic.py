"""Magic recipients: local parts that steer what the pretend mail server answers, at any domain.

``fail-permanent@example.com`` and ``fail-permanent+anything@example.com`` mean the same. Two rules read a number
from the tag: ``fail-temporary+3@…`` (times to fail) and ``slow+0.5@…`` (seconds).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import asdict, dataclass

DEFAULT_FAILURES = 2
DEFAULT_DELAY = 5.0  # seconds
LONGEST_DELAY = 120.0  # seconds; below the server's own idle limit
_REMEMBERED_ADDRESSES = 10_000


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to mail for one local part.

    ``reply`` is the SMTP answer (RFC 5321 §4.2 code, RFC 3463 enhanced code) to RCPT TO; empty when RCPT is accepted.
    """

    name: str
    example: str
    effect: str
    reply: str = ""
    channel: str = "email"

    def as_dict(self) -> dict[str, str]:
        """Return the rule as plain strings, for the API."""
        return asdict(self)


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule(
            "fail-permanent",
            "fail-permanent@example.com",
            "Refused for good.",
            "550 5.1.1 Recipient address rejected: mailbox does not exist",
        ),
        Rule(
            "fail-temporary",
            "fail-temporary+3@example.com",
            f"Refused the first n times ({DEFAULT_FAILURES} without a number), accepted once, then all over again. "
            "Counted per full address.",
            "451 4.7.1 Temporary failure, try again later",
        ),
        Rule(
            "rate-limited",
            "rate-limited@example.com",
            "Always refused for now.",
            "450 4.2.1 rate limited, try again",
        ),
        Rule(
            "auth-fail",
            "auth-fail@example.com",
            "Refused as if the account's credentials were wrong.",
            "535 5.7.8 Authentication credentials invalid",
        ),
        Rule(
            "slow",
            "slow+0.5@example.com",
            f"Accepted n seconds after the message data ({DEFAULT_DELAY:g} without a number, at most "
            f"{LONGEST_DELAY:g}). Other connections do not wait.",
        ),
        Rule(
            "drop",
            "drop@example.com",
            "The connection is closed after the message data, without an answer; nothing is kept.",
        ),
        Rule("bounce", "bounce@example.com", "Accepted."),
    )
}


def split(address: str) -> tuple[str, str]:
    """Return (local part without tag, tag) of an address, both in lower case; the tag is empty if there is none."""
    name, _, tag = address.rpartition("@")[0].lower().partition("+")
    return name, tag


def delay(address: str) -> float:
    """Return how many seconds to wait before mail for ``address`` is accepted; 0 for all but ``slow``."""
    name, tag = split(address)
    if name != "slow":
        return 0.0
    try:
        seconds = float(tag)
    except ValueError:
        return DEFAULT_DELAY
    return min(max(seconds, 0.0), LONGEST_DELAY) if math.isfinite(seconds) else DEFAULT_DELAY


def is_dropped(address: str) -> bool:
    """Tell whether the connection closes, unanswered, after message data for ``address``."""
    return split(address)[0] == "drop"


def markdown_table() -> str:
    """Return the rules as a Markdown table; the documentation page holds exactly this text."""
    rows = [
        f"| `{rule.example}` | {f'`{rule.reply}`' if rule.reply else ''} | {rule.effect} |" for rule in RULES.values()
    ]
    return "\n".join(["| Recipient | Answer to `RCPT TO` | What happens |", "|---|---|---|", *rows])


class Recipients:
    """Decides the answer to each ``RCPT TO``, and remembers how often ``fail-temporary`` addresses have failed."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, int] = OrderedDict()

    def refusal(self, address: str) -> str | None:
        """Return the SMTP line that refuses ``address``, or None when it is accepted."""
        name, tag = split(address)
        rule = RULES.get(name)
        if rule is None or not rule.reply:
            return None
        if name == "fail-temporary" and not self._fails_again(address.lower(), tag):
            return None
        return rule.reply

    def _fails_again(self, address: str, tag: str) -> bool:
        # The message is not known yet when RCPT is answered, so the count belongs to the address alone.
        wanted = int(tag) if tag.isascii() and tag.isdigit() and len(tag) < 10 else DEFAULT_FAILURES
        failed = self._failures.pop(address, 0)
        if failed >= wanted:
            return False
        self._failures[address] = failed + 1
        if len(self._failures) > _REMEMBERED_ADDRESSES:
            self._failures.popitem(last=False)
        return True
