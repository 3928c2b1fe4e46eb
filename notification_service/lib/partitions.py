"""Monthly partitions over UUIDv7 keys: tables made with them, partitions made ahead, old ones found.

An id carries its time, so a range of ids is a range of time and the key stays a single column (RFC 9562 section 5.7;
PostgreSQL's "Table Partitioning").
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from django.db import connection, migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import ProjectState

from notification_service.lib.ids import id_floor

#: Rows of these tables are updated a few times; the space left lets most updates stay on their page.
_FILLFACTOR = 85


class CreatePartitionedModel(migrations.CreateModel):
    """``CreateModel`` whose table is partitioned by range of its ``id``. Partitions come from ``ensure_partitions``."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        plain = schema_editor.sql_create_table
        schema_editor.sql_create_table = f"{plain} PARTITION BY RANGE (id)"
        try:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        finally:
            schema_editor.sql_create_table = plain


def months(start: datetime, count: int) -> Iterator[datetime]:
    """Yield the first moments (UTC) of ``count`` months, beginning with the month of ``start``."""
    month = start.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    for _ in range(count):
        yield month
        month = (month + timedelta(days=32)).replace(day=1)


def ensure_partitions(tables: list[str], *, now: datetime, ahead: int = 3) -> list[str]:
    """Make the partitions of this month and of ``ahead`` further ones where they are missing; return the new names."""
    made = []
    with connection.cursor() as cursor:
        for table in tables:
            bounds = list(months(now, ahead + 2))
            for start, end in pairwise(bounds):
                name = partition_name(table, start)
                cursor.execute("SELECT to_regclass(%s)", [name])
                if cursor.fetchone()[0] is not None:
                    continue
                cursor.execute(
                    f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF {table}"
                    f" FOR VALUES FROM ('{id_floor(start)}') TO ('{id_floor(end)}') WITH (fillfactor = {_FILLFACTOR})"
                )
                # No policy of its own: nobody reads a partition past the wall of its table.
                cursor.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
                cursor.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
                made.append(name)
    return made


def partition_name(table: str, month: datetime) -> str:
    """Return the name of a table's partition: ``attempt_2026_11``."""
    return f"{table}_{month:%Y_%m}"


def covered_until(table: str) -> datetime | None:
    """Return the moment up to which a table has partitions, or None if it has none."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", [table])
        names = [row[0] for row in cursor.fetchall()]
    ends = []
    for name in names:
        year, month = name.removeprefix(f"{table}_").split("_")[:2]
        start = datetime(int(year), int(month), 1, tzinfo=UTC)
        ends.append(list(months(start, 2))[1])
    return max(ends, default=None)
