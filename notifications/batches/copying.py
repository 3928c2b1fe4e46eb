"""Many rows into a table in one go: COPY into a temporary table, and from there by a statement of ours.

COPY straight into a table with row-level security is refused by PostgreSQL; an ``INSERT … SELECT`` is checked row by
row as any other. The temporary table lives within the transaction, so a pooler that lends connections by transaction is
no obstacle, and it needs the privilege ``TEMPORARY`` on the database, which everybody has unless it was taken away.
Figures: docs/adr/0013-staging-by-copy.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson
from django.db import connection
from psycopg.types.json import Jsonb

#: The temporary table that the statement reads from.
INCOMING: Final = "incoming"


def insert_copied(
    columns: Mapping[str, str], rows: Iterable[Sequence[Any]], statement: str, parameters: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """Copy rows into ``incoming``, run a statement that inserts from it, and return what the statement returns.

    ``columns`` are the names and types of ``incoming``, in the order of each row's values: they must be of just those
    types, JSON wrapped by ``as_jsonb``. Needs a transaction, and the tenant's scope for what is inserted into.
    """
    types = list(columns.values())
    with connection.cursor() as cursor:
        named = ", ".join(f'"{name}" {type_}' for name, type_ in columns.items())
        cursor.execute(f"CREATE TEMPORARY TABLE {INCOMING} ({named}) ON COMMIT DROP")
        with cursor.copy(f"COPY {INCOMING} FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)
        cursor.execute(statement, parameters)
        returned: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description else []
        cursor.execute(f"DROP TABLE {INCOMING}")  # the transaction may have more to copy
        return returned


def as_jsonb(value: Any) -> Jsonb:
    """Return a value as a column of type ``jsonb`` takes it."""
    return Jsonb(value, orjson.dumps)
