"""R1: a tenant's 100 rules over a batch of 500 events, on one core, in this process.

The baseline converts each event anew for every rule, as a dictionary that is passed along.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

import cel
from django.utils import timezone

from benchmarks.results import Result, median
from benchmarks.scene import Scene
from benchmarks.stage import BenchmarkFailed
from notification_service.lib.ids import new_id
from notifications.events.happening import Happening
from notifications.events.rules.conditions import compile_condition, judge, scope_of

TARGET: Final = ">= 10,000/s"
_FIRST_TARGET: Final = 10_000
_RULES: Final = 100
_EVENTS: Final = {"tiny": 20, "quick": 500, "full": 500}


def run(scene: Scene) -> Result:
    """Measure both in turn, on the same rules and events."""
    count = _EVENTS[scene.scale.name]
    conditions = [
        compile_condition(f'amount > {number * 100} AND currency == "NGN" AND user.name.startsWith("Person")')
        for number in range(_RULES)
    ]
    events = [_event(number) for number in range(count)]

    def ours() -> int:
        held = 0
        for event in events:
            scope = scope_of(event)
            held += sum(judge(condition, scope).holds for condition in conditions)
        return held

    programs = [cel.compile(condition.source.replace("AND", "&&")) for condition in conditions]

    few = events[: max(count // 25, 1)]  # it takes long enough with these

    def theirs() -> int:
        return sum(bool(program.execute(dict(event.payload))) for event in few for program in programs)

    rates = {"ours": [_rate(ours, _expected(events), count) for _ in range(scene.scale.rounds)]}
    rates["dictionaries"] = [_rate(theirs, _expected(few), len(few)) for _ in range(scene.scale.rounds)]
    rate, baseline = median(rates["ours"]), median(rates["dictionaries"])
    return Result(
        "R1",
        f"{rate:,.0f} evaluations/s on one core",
        f"{baseline:,.0f}/s with dictionaries",
        rate / baseline,
        TARGET,
        rate >= _FIRST_TARGET,
        {name: {"rates": [round(each) for each in found]} for name, found in rates.items()},
    )


def _expected(events: list[Happening]) -> int:
    return sum(event.payload["amount"] > number * 100 for event in events for number in range(_RULES))


def _rate(evaluate: Callable[[], int], expected: int, count: int) -> float:
    begun = time.process_time()
    found = evaluate()
    seconds = max(time.process_time() - begun, 1e-6)
    if found != expected:
        raise BenchmarkFailed(f"R1: {expected} conditions hold; {found} were found to")
    return count * _RULES / seconds


def _event(number: int) -> Happening:
    payload: dict[str, Any] = {
        "amount": number * 37 % 10_000,
        "currency": "NGN",
        "user": {"name": f"Person {number}", "roles": ["finance", "admin"]},
        "items": [{"sku": f"s{item}", "price": item * 1.5} for item in range(5)],
    }
    return Happening(
        new_id(), uuid4(), "pending_transaction", payload, {}, "", "benchmark", None, None, "live", timezone.now()
    )
