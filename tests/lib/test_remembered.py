"""What processes remember of a tenant: a change of one holds in all, and while Redis is away after a few seconds."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest
from django.db import transaction

from notification_service.lib.remembered import Remembered
from tests.clock import Jump
from tests.lib.test_redis import no_redis  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db(transaction=True)


class Process:
    """One process's memory of a value that all share, and how often it looked it up."""

    def __init__(self, name: str, shared: dict[str, int], seconds: float = 60.0) -> None:
        self.memory = Remembered[int](name, seconds=seconds)
        self.shared, self.looks = shared, 0

    def value(self) -> int:
        time.sleep(0.006)
        return self.memory.get(TENANT, self._look_up)

    def _look_up(self) -> int:
        self.looks += 1
        return self.shared["value"]


TENANT = uuid4()


def two(seconds: float = 60.0) -> tuple[dict[str, int], Process, Process]:
    name, shared = uuid4().hex, {"value": 1}
    return shared, Process(name, shared, seconds), Process(name, shared, seconds)


def test_it_is_looked_up_once_until_another_process_changes_it() -> None:
    shared, one, other = two()
    assert [one.value(), one.value(), other.value()] == [1, 1, 1]
    assert (one.looks, other.looks) == (1, 1)
    with transaction.atomic():
        shared["value"] = 2
        other.memory.change(TENANT)
        assert one.value() == 1, "nothing is told before the commit"
    assert [one.value(), other.value()] == [2, 2]
    assert one.looks == 2


def test_what_is_rolled_back_is_told_to_nobody() -> None:
    _, one, other = two()
    one.value()
    with transaction.atomic():
        other.memory.change(TENANT)
        transaction.set_rollback(True)
    one.value()
    assert one.looks == 1


@pytest.mark.usefixtures("no_redis")
def test_while_redis_is_away_it_is_believed_for_its_seconds(jump: Jump) -> None:
    shared, one, other = two(seconds=60.0)
    assert one.value() == 1
    shared["value"] = 2
    other.memory.change(TENANT)
    assert one.value() == 1
    jump(61)
    assert one.value() == 2
