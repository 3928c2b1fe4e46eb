"""Conditions: what they can say, where they are wrong, and that nobody can hang or crash us with one."""

from __future__ import annotations

import time
from typing import Any

import pytest

from notification_service.lib.errors import InvalidInput
from notifications.events.rules.checks import check_condition
from notifications.events.rules.conditions import compile_condition, judge, scope_of, trace
from tests.events.conftest import happening

PAYLOAD: dict[str, Any] = {
    "amount": 5000,
    "rate": 1.5,
    "currency": "NGN",
    "tags": ["vip", "new"],
    "starts_at": "2099-01-01T00:00:00Z",
    "who": {"name": "Ada", "roles": ["admin"]},
    "note": "AND this OR that",
    "big": 2**70,
}


def holds(source: str) -> bool:
    return judge(compile_condition(source), scope_of(happening("order.placed", PAYLOAD))).holds


@pytest.mark.parametrize(
    "source",
    [
        "",
        "amount > 1000",
        'payload.amount > 1000 && currency == "NGN"',
        'amount > 1000 AND currency == "NGN"',
        "amount < 1 OR rate > 1.0",
        "NOT (amount < 1)",
        "amount > 4999.5",
        '"vip" in tags',
        'currency in ["NGN", "EUR"]',
        'who.name.startsWith("A")',
        'note.contains("AND this")',
        'currency.matches("^[A-Z]{3}$")',
        "timestamp(starts_at) - now() > duration('24h')",
        "now() > timestamp('2020-01-01T00:00:00Z')",
        "has(payload.amount) && !has(payload.nothing)",
        'who.roles.exists(r, r == "admin")',
        'event.type == "order.placed" && event.source == "test"',
        "big > 1.0",
        "size(tags) == 2",
    ],
)
def test_it_can_say(source: str) -> None:
    assert holds(source)


@pytest.mark.parametrize(
    "source", ["nothing > 1", "amount == '5000'", "amount", "payload.no.such", "amount + 'x' == ''"]
)
def test_what_can_not_be_told_does_not_hold_and_says_why(source: str) -> None:
    verdict = judge(compile_condition(source), scope_of(happening("x", PAYLOAD)))
    assert not verdict.holds
    assert verdict.error or source == "amount == '5000'"


@pytest.mark.parametrize(
    ("source", "where"),
    [
        ("amount >", "character 9"),
        ("amount >> 3", "character 9"),
        ("a == 1 AND", "character 11"),
        ("a == 1 AND\n  b ==", "line 2, character 7"),
        ("amount = 3", "character 8"),
        ("x" * 2001, "2001 characters"),
        ("(" * 31 + "1" + ")" * 31, "nested deeper"),
        ("a.all(x, x.all(y, y.all(z, z > 1)))", "3 times"),
        ("a.map(x, x).filter(x, x > 1).exists (x, x > 1)", "3 times"),
    ],
    ids=["cut off", "twice", "word", "second line", "one equals sign", "long", "deep", "nested lists", "chained lists"],
)
def test_errors_point_at_the_character(source: str, where: str) -> None:
    with pytest.raises(InvalidInput, match="condition: ") as refused:
        compile_condition(source)
    assert where in refused.value.errors["condition"][0]


def test_words_in_texts_are_left_alone() -> None:
    assert holds('note == "AND this OR that"')
    assert not holds("note == 'NOT this'")


def test_a_trace_has_each_part() -> None:
    condition = compile_condition('amount > 1000 AND (currency == "EUR" OR rate > 1.0) AND missing == 1')
    told = trace(condition, scope_of(happening("x", PAYLOAD)))
    assert [each["condition"] for each in told] == [
        "amount > 1000",
        '(currency == "EUR" || rate > 1.0)',
        "missing == 1",
    ]
    assert [each["value"] for each in told] == [True, True, False]
    assert "missing" in told[2]["error"]
    either = trace(compile_condition("amount > 9000 || amount < 10 && true"), scope_of(happening("x", PAYLOAD)))
    assert [each["condition"] for each in either] == ["amount > 9000", "amount < 10 && true"]


def test_the_worst_that_is_allowed_ends() -> None:
    scope = scope_of(happening("x", {"a": list(range(1500))}))
    started = time.monotonic()
    judge(compile_condition("a.all(x, a.all(y, x + y >= 0))"), scope)
    judge(compile_condition(f"'{'a' * 900}'.matches('(a+)+$b')"), scope)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    ("source", "where"),
    [
        ("  shout(name)", "At character 3: there is no function 'shout'"),
        ("amount > 1 && name.lowerAscii() == 'a'", "At character 20: there is no function 'lowerAscii'"),
        ("name.matches('[')", "At character 6: this is no regular expression: unclosed character class"),
        ("name.matches('((a{100}){100}){100}')", "At character 6: this is no regular expression: it is too large"),
        (r"name.matches(r'\w{200}')", "At character 6: the regular expression is too costly"),
        ("name.matches(payload.pattern)", "At character 6: matches() takes one regular expression in quotes"),
        (" || ".join(["name.matches('a')"] * 6), "Has 6 regular expressions"),
    ],
    ids=["function", "method", "expression", "enormous", "costly", "given", "many"],
)
def test_what_no_rule_should_do_is_refused_when_it_is_made(source: str, where: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_condition(source)
    assert where in refused.value.errors["condition"][0]


@pytest.mark.parametrize(
    "source",
    [
        "",
        r"has(payload.amount) && name.matches('^[A-Z]{3}\\d+$') OR size(tags) > 1",
        "timestamp(payload.due) - now() < duration('48h') AND items.exists_one(i, i.price > double('1.5'))",
        "now().getFullYear() > 2000 && string(amount).startsWith('5') && type(amount) == int",
        "'shout(name)' == name",
    ],
)
def test_what_the_language_knows_is_let_through(source: str) -> None:
    check_condition(source)


@pytest.mark.parametrize(
    ("source", "payload"),
    [
        ("a.all(x, a.all(y, x + y >= 0))", {"a": list(range(30_000))}),
        ("a.map(x, b).size() > 0", {"a": list(range(10_000)), "b": "x" * 200_000}),
        (" + ".join(["b"] * 300) + " == 'x'", {"b": "x" * 200_000}),
        ("o.all(k, o.all(l, k == l))", {"o": {str(n): n for n in range(20_000)}}),
        ("a.all(x, x.all(y, y.contains('z')))", {"a": [["z" * 100] * 1000] * 1000}),
    ],
    ids=["pairs", "copies", "sums", "keys", "texts"],
)
def test_events_that_are_too_large_for_a_condition_cost_nothing(source: str, payload: dict[str, Any]) -> None:
    condition, scope = compile_condition(source), scope_of(happening("x", payload))
    begun = time.process_time()
    verdict = judge(condition, scope)
    assert time.process_time() - begun < 1
    assert not verdict.holds
    assert "too large" in verdict.error
    assert "too large" in trace(condition, scope)[0]["error"]


def test_events_of_ordinary_size_are_looked_through() -> None:
    payload = {"a": [{"n": n, "tags": ["x", "y"]} for n in range(200)], "b": "x" * 2000}
    scope = scope_of(happening("x", payload))
    assert judge(compile_condition("a.exists(i, i.n == 199 && i.tags.exists(t, t == 'y'))"), scope).holds
    assert judge(compile_condition("a.filter(i, i.n > 100).size() == 99"), scope).holds
    long = scope_of(happening("x", {"a": list(range(20_000))}))
    assert judge(compile_condition("a.exists(x, x == 19999)"), long).holds
    assert judge(compile_condition("size(b) + 1 > 2000"), scope).holds
