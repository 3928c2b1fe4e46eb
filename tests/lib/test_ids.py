"""UUIDv7 and the months that are cut from them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from uuid import UUID

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from notification_service.lib.ids import id_floor, id_time, new_id
from notification_service.lib.partitions import covered_until, ensure_partitions, months, partition_name
from notification_service.lib.registry import Registry

MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - see timezones


def test_ids_ascend_and_carry_their_time() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    ids = [new_id() for _ in range(5000)]
    assert ids == sorted(set(ids))
    assert {each.version for each in ids} == {7}
    assert before <= id_time(ids[0]) <= id_time(ids[-1]) <= datetime.now(UTC)


@given(MOMENTS)
def test_the_floor_is_below_every_id_of_its_moment(moment: datetime) -> None:
    floor = id_floor(moment)
    assert abs(id_time(floor) - moment) < timedelta(milliseconds=1.5)
    assert floor.int & ((1 << 80) - 1) == 0
    assert floor < id_floor(moment + timedelta(milliseconds=2))


def test_before_there_were_ids_the_floor_is_the_lowest() -> None:
    for year in (1, 1969, 1970):
        assert id_floor(datetime(year, 1, 1, tzinfo=UTC)) == UUID(int=0)
    assert id_floor(datetime(9999, 12, 31, tzinfo=UTC)) > new_id()


@given(MOMENTS, st.integers(1, 40))
def test_months_follow_each_other_without_gap(start: datetime, count: int) -> None:
    found = list(months(start, count))
    assert len(found) == count
    assert found[0] <= start < next(iter(list(months(start, 2))[1:]))
    for one, next_one in pairwise(found):
        assert (next_one.year * 12 + next_one.month) - (one.year * 12 + one.month) == 1
    assert {(each.day, each.hour, each.minute, each.second, each.microsecond) for each in found} == {(1, 0, 0, 0, 0)}


def test_a_year_ends() -> None:
    assert [f"{each:%Y-%m}" for each in months(datetime(2026, 11, 30, 23, 59, tzinfo=UTC), 4)] == [
        "2026-11",
        "2026-12",
        "2027-01",
        "2027-02",
    ]


def test_a_month_is_one_of_utc() -> None:
    new_year_in_tokyo = datetime(2027, 1, 1, 3, tzinfo=timezone(timedelta(hours=9)))
    assert next(months(new_year_in_tokyo, 1)) == datetime(2026, 12, 1, tzinfo=UTC)


TABLE = "attempt"


def partitions() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", [TABLE])
        return {row[0] for row in cursor.fetchall()}


def test_partitions_are_made_ahead_once_and_across_the_year(db: None) -> None:
    now = datetime(2031, 11, 15, tzinfo=UTC)
    made = ensure_partitions([TABLE], now=now)
    assert made == [f"{TABLE}_{month}" for month in ("2031_11", "2031_12", "2032_01", "2032_02")]
    assert set(made) <= partitions()
    assert ensure_partitions([TABLE], now=now) == []
    assert ensure_partitions([TABLE], now=now + timedelta(days=31)) == [f"{TABLE}_2032_03"]
    assert covered_until(TABLE) == datetime(2032, 4, 1, tzinfo=UTC)


def test_a_partition_is_walled_and_takes_what_belongs_to_it(db: None) -> None:
    start = datetime(2031, 12, 1, tzinfo=UTC)
    ensure_partitions([TABLE], now=start, ahead=0)
    name = partition_name(TABLE, start)
    with connection.cursor() as cursor:
        cursor.execute("SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE relname = %s", [name])
        assert cursor.fetchone() == (True, True)
        cursor.execute(
            "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = %s",
            [name],
        )
        bound = cursor.fetchone()[0]
    low, high = (UUID(part) for part in bound.split("'")[1::2])
    assert (id_time(low), id_time(high)) == (start, datetime(2032, 1, 1, tzinfo=UTC))


def test_a_registry_is_strict() -> None:
    things: Registry[int] = Registry("thing")
    assert things.register("one", 1) == 1
    with pytest.raises(ValueError, match="'one' is registered twice"):
        things.register("one", 2)
    with pytest.raises(KeyError, match="unknown thing 'two'; known: one"):
        things.get("two")
    assert (things.get("one"), "one" in things, "two" in things, things.keys(), len(things)) == (
        1,
        True,
        False,
        ["one"],
        1,
    )
