"""What is old and finished goes, batch by batch or month by month; what is still to be sent stays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from notification_service.lib.ids import id_floor
from notification_service.lib.partitions import ensure_partitions
from notification_service.lib.scope import tenant_scope
from notifications.records import retention
from notifications.records.models import Attempt, NotificationRecord, RecordEvent
from notifications.records.tasks import PARTITIONED, housekeep
from tenants.models import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2024, 6, 20, 12, tzinfo=UTC)
MARCH, MAY = datetime(2024, 3, 10, tzinfo=UTC), datetime(2024, 5, 10, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _old_months(db: None) -> Iterator[None]:
    """Partitions for March to June 2024, as if the service had run then."""
    made = ensure_partitions(PARTITIONED, now=MARCH, ahead=3)
    yield
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {', '.join(made)}")


def make(tenant: Tenant, at: datetime, number: int = 1, **fields: Any) -> UUID:
    """Write a record of a moment, with an attempt and an event; returns its id."""
    record_id = UUID(int=id_floor(at).int + number)
    values = {"channel": "email", "recipient": "ada@example.com", "status": "success", **fields}
    with tenant_scope(tenant.id):
        NotificationRecord.objects.create(
            id=record_id,
            tenant=tenant,
            due_at=at,
            expires_at=at + timedelta(days=1),
            created_at=at,
            updated_at=at,
            **values,
        )
        Attempt.objects.create(
            id=UUID(int=record_id.int + 500_000),
            tenant=tenant,
            record_id=record_id,
            number=1,
            provider="console",
            outcome="success",
            started_at=at,
            finished_at=at,
        )
        RecordEvent.objects.create(
            id=UUID(int=record_id.int + 500_000), tenant=tenant, record_id=record_id, kind="resent", created_at=at
        )
    return record_id


def left(tenant: Tenant) -> list[UUID]:
    """Return the ids of the records that are left, having made sure that what hangs on the others is gone."""
    with tenant_scope(tenant.id):
        ids = list(NotificationRecord.objects.order_by("id").values_list("id", flat=True))
        assert sorted(Attempt.objects.values_list("record_id", flat=True)) == ids
        assert sorted(RecordEvent.objects.values_list("record_id", flat=True)) == ids
    return ids


def wants(tenant: Tenant, **days: int) -> None:
    """Set a tenant's ``retention_days``; ``every`` stands for ``*``."""
    chosen = {"*" if channel == "every" else channel: value for channel, value in days.items()}
    Tenant.objects.filter(id=tenant.id).update(settings={"retention_days": chosen})


def test_each_tenants_own_time(tenant: Tenant, other_tenant: Tenant) -> None:
    old, new, others = make(tenant, MARCH), make(tenant, MAY), make(other_tenant, MARCH, 2)
    wants(tenant, every=60)
    assert retention.delete_old(now=NOW) == 1
    assert (left(tenant), left(other_tenant)) == ([new], [others])
    assert old not in left(tenant)


def test_each_channels_own_time(tenant: Tenant) -> None:
    make(tenant, MAY, 1)
    sms, push = make(tenant, MAY, 2, channel="sms"), make(tenant, MAY, 3, channel="push")
    make(tenant, MARCH, 4, channel="push")
    wants(tenant, email=30, sms=365, every=60)
    assert retention.delete_old(now=NOW) == 2
    assert left(tenant) == [sms, push]


def test_the_day_counts(tenant: Tenant) -> None:
    make(tenant, NOW - timedelta(days=30, minutes=1))
    young = make(tenant, NOW - timedelta(days=30) + timedelta(minutes=1))
    wants(tenant, every=30)
    retention.delete_old(now=NOW)
    assert left(tenant) == [young]


@pytest.mark.parametrize("status", ["pending", "scheduled", "sending", "retrying"])
def test_what_is_still_to_be_sent_stays(tenant: Tenant, settings: Settings, status: str) -> None:
    waiting = make(tenant, MARCH, status=status)
    wants(tenant, every=1)
    settings.RETENTION_MONTHS = 1
    retention.drop_old_partitions(now=NOW)
    assert retention.delete_old(now=NOW) == 0
    assert left(tenant) == [waiting]


def test_in_batches(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    for number in range(5):
        make(tenant, MARCH, number)
    wants(tenant, every=30)
    assert retention.delete_old(now=NOW, seconds=0) == 2  # its time is over: the next run goes on
    assert retention.delete_old(now=NOW) == 3
    assert left(tenant) == []


def test_nobody_said_anything(tenant: Tenant) -> None:
    kept = make(tenant, MARCH)
    assert (retention.delete_old(now=NOW), retention.drop_old_partitions(now=NOW)) == (0, [])
    assert left(tenant) == [kept]


def exists(name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [name])
        return bool(cursor.fetchone()[0])


def test_whole_months_go(tenant: Tenant, settings: Settings) -> None:
    make(tenant, MARCH)
    kept = make(tenant, MAY)
    settings.RETENTION_MONTHS = 1
    dropped = retention.drop_old_partitions(now=NOW)
    assert sorted(dropped) == sorted(f"{table}_2024_{month}" for table in PARTITIONED for month in ("03", "04"))
    assert not any(map(exists, dropped))
    assert left(tenant) == [kept]
    assert retention.drop_old_partitions(now=NOW) == []


@pytest.mark.parametrize(("months", "gone"), [(1, ["03", "04"]), (2, ["03"]), (3, [])])
def test_how_many_months_are_kept(settings: Settings, months: int, gone: list[str]) -> None:
    settings.RETENTION_MONTHS = months
    dropped = retention.drop_old_partitions(now=NOW)
    assert sorted(name[-2:] for name in dropped if name.startswith("attempt")) == gone


def test_the_current_month_stays(tenant: Tenant, settings: Settings) -> None:
    settings.RETENTION_MONTHS = 1
    retention.drop_old_partitions(now=NOW)
    assert exists("notification_record_2024_06")
    assert exists("notification_record_2024_05")


def test_housekeeping_does_both(tenant: Tenant, settings: Settings) -> None:
    now = datetime.now(UTC)
    make(tenant, MARCH)
    make(tenant, now - timedelta(seconds=5), 7)
    settings.RETENTION_MONTHS = 12
    housekeep()
    assert not exists("notification_record_2024_03")
    assert len(left(tenant)) == 1
