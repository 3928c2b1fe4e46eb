"""Every encrypted column of every table, brought over to the first key of ``ENCRYPTION_KEYS``.

A column is encrypted if its name ends with ``_encrypted``; its model says in ``associated_data`` what binds a
ciphertext to its row. Nothing is decrypted here but data keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db.models import BinaryField, Func, Model, Q, QuerySet, Value

from notification_service.lib.encryption import DecryptionError, key_ring
from notification_service.lib.scope import platform_scope

SUFFIX: Final = "_encrypted"
#: Rows per transaction, each with up to 256 KB: a rotation that is interrupted goes on where it was.
BATCH: Final = 100


@dataclass(frozen=True, slots=True)
class Column:
    """An encrypted column."""

    model: type[Model]
    name: str

    def __str__(self) -> str:
        return f"{self.model._meta.db_table}.{self.name}"


@dataclass(slots=True)
class Count:
    """Of a column: how many values it has, how many of them were old, and the rows whose value no key opens."""

    seen: int = 0
    old: int = 0
    failed: list[UUID] = field(default_factory=list)

    @property
    def rotated(self) -> int:
        """How many values were brought over, or would be."""
        return self.old - len(self.failed)


def encrypted_columns() -> list[Column]:
    """Return every encrypted column that the installed apps have, by table.

    Raises ``ImproperlyConfigured`` for a model that does not say what binds its ciphertexts.
    """
    columns = []
    for model in apps.get_models():
        names = [each.name for each in model._meta.local_concrete_fields if each.name.endswith(SUFFIX)]
        if names and not hasattr(model, "associated_data"):
            raise ImproperlyConfigured(f"{model.__name__} has {names[0]}, but no associated_data that binds it.")
        columns += [Column(model, name) for name in names]
    return sorted(columns, key=str)


def rotate_column(column: Column, *, dry_run: bool = False) -> Count:
    """Encrypt a column's data keys under the first key of the ring, or only count those that are not."""
    with platform_scope("rotate encryption keys"):
        count = Count(seen=_held(column).count())
    last: Any = None
    while True:
        with platform_scope("rotate encryption keys"):
            rows = _old(column, after=last, lock=not dry_run)
            for row in rows:
                try:
                    rotated = key_ring().rotate(bytes(getattr(row, column.name)), associated_data=row.associated_data)
                except DecryptionError:
                    count.failed.append(row.pk)
                else:
                    setattr(row, column.name, rotated)
            if not dry_run:
                column.model._default_manager.bulk_update(rows, [column.name])
        if not rows:
            return count
        count.old += len(rows)
        last = rows[-1].pk


def _old(column: Column, *, after: Any, lock: bool) -> list[Any]:
    """Return the next rows, in the order of their keys, whose value is not under the first key."""
    prefix = key_ring().prefix
    beginning = Func(column.name, Value(1), Value(len(prefix)), function="substring", output_field=BinaryField())
    rows = _held(column).alias(beginning=beginning).filter(~Q(beginning=prefix)).order_by("pk")
    if after is not None:
        rows = rows.filter(pk__gt=after)
    if lock:
        rows = rows.select_for_update(no_key=True)
    return list(rows[:BATCH])


def _held(column: Column) -> QuerySet[Any]:
    return column.model._default_manager.exclude(**{column.name: None})
