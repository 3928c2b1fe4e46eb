"""Statements whose values are large: they travel beside the statement, not inside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from django.db import connection


def fetch_bound(statement: str, values: Sequence[Any] | Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Run a statement with its values bound by the server, and return its rows. Needs a transaction.

    Django's cursors write values into the statement: a document of a megabyte is then escaped here, and read once more,
    sign by sign, by PostgreSQL's lexer. Raises Django's database errors.
    """
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()
