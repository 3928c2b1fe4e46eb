"""Recipients that steer what the mail server answers."""

from __future__ import annotations

import smtplib

import pytest

from sandbox import magic
from tests.sandbox.conftest import ROOT, Sandbox, mail


def refusal(sandbox: Sandbox, to: str) -> tuple[int, bytes]:
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        sandbox.send(to)
    code, text = refused.value.recipients[to]
    return code, text


@pytest.mark.parametrize(
    ("to", "code", "start"),
    [
        ("fail-permanent@example.com", 550, b"5.1.1 "),
        ("fail-permanent+tag@other.example", 550, b"5.1.1 "),
        ("FAIL-Permanent@example.com", 550, b"5.1.1 "),
        ("rate-limited@example.com", 450, b"4.2.1 rate limited, try again"),
        ("auth-fail@example.com", 535, b"5.7.8 Authentication credentials invalid"),
    ],
)
def test_refused(sandbox: Sandbox, to: str, code: int, start: bytes) -> None:
    for _ in range(3):
        given, text = refusal(sandbox, to)
        assert given == code
        assert text.startswith(start)
    assert sandbox.messages() == []


@pytest.mark.parametrize(
    ("to", "times"),
    [
        ("fail-temporary@one.example", 2),
        ("fail-temporary+3@two.example", 3),
        ("fail-temporary+0@three.example", 0),
        ("fail-temporary+word@four.example", 2),
    ],
)
def test_fails_first_and_starts_again_after_success(sandbox: Sandbox, to: str, times: int) -> None:
    for turn in range(2):
        for _ in range(times):
            code, text = refusal(sandbox, to)
            assert (code, text[:5]) == (451, b"4.7.1")
        sandbox.send(to)
        assert len(sandbox.messages(to=to)) == turn + 1


def test_failures_are_counted_per_address(sandbox: Sandbox) -> None:
    refusal(sandbox, "fail-temporary+1@a.example")
    refusal(sandbox, "fail-temporary+1@b.example")
    sandbox.send("fail-temporary+1@a.example")


def test_dropped_without_an_answer(sandbox: Sandbox) -> None:
    with pytest.raises(smtplib.SMTPServerDisconnected):
        sandbox.send("drop@example.com")
    assert sandbox.messages() == []


def test_bounce_and_near_misses_are_accepted(sandbox: Sandbox) -> None:
    accepted = ["bounce@example.com", "fail-permanently@example.com", "ada@fail-permanent.example"]
    sandbox.send(*accepted)
    assert sorted(m["to"] for m in sandbox.messages()) == sorted(accepted)


def test_only_the_good_recipients_of_an_envelope_get_the_message(sandbox: Sandbox) -> None:
    with sandbox.client() as client:
        refused = client.send_message(
            mail("a@example.com"), to_addrs=["a@example.com", "fail-permanent@example.com", "b@example.com"]
        )
    assert list(refused) == ["fail-permanent@example.com"]
    assert {m["to"] for m in sandbox.messages()} == {"a@example.com", "b@example.com"}


@pytest.mark.parametrize(
    ("to", "seconds"),
    [
        ("slow@example.com", 5.0),
        ("Slow+0.5@example.com", 0.5),
        ("slow+word@example.com", 5.0),
        ("slow+nan@example.com", 5.0),
        ("slow+-3@example.com", 0.0),
        ("slow+1e9@example.com", magic.LONGEST_DELAY),
        ("ada@example.com", 0.0),
    ],
)
def test_delay(to: str, seconds: float) -> None:
    assert magic.delay(to) == seconds


def test_api_and_documentation_show_the_rules(sandbox: Sandbox) -> None:
    rules = sandbox.request("/api/magic").json()["rules"]
    assert {rule["name"] for rule in rules if "vendor" not in rule} == set(magic.RULES)
    assert magic.markdown_table() in (ROOT / "docs/sandbox.md").read_text()
