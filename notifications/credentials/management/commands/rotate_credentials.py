"""``manage.py rotate_credentials``: everything that is encrypted, under the first key of ``ENCRYPTION_KEYS``."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from notification_service.lib.scope import platform_scope
from notifications.credentials.rotation import Column, Count, encrypted_columns, rotate_column
from tenants import audit
from tenants.callers import system_caller

_SHOWN = 10


class Command(BaseCommand):
    help = (
        "Encrypt the data keys of all credentials, secrets of webhooks and event sources, signing keys and whatever "
        "else is encrypted under the first key of ENCRYPTION_KEYS. When it says that none was left, the older keys "
        "may be removed. Can be interrupted and run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count what would be rotated")

    def handle(self, *args: Any, **options: Any) -> None:
        dry_run = options["dry_run"]
        counts: dict[Column, Count] = {}
        for column in encrypted_columns():
            count = counts[column] = rotate_column(column, dry_run=dry_run)
            self.stdout.write(f"{column}: {count.rotated} of {count.seen} {'to rotate' if dry_run else 'rotated'}.")
        if not dry_run:
            _audit(counts)
        failed = {column: count.failed for column, count in counts.items() if count.failed}
        if failed:
            raise CommandError(
                "No key of ENCRYPTION_KEYS opens "
                + "; ".join(
                    f"{len(ids)} of {column}: {', '.join(map(str, ids[:_SHOWN]))}{', …' if len(ids) > _SHOWN else ''}"
                    for column, ids in failed.items()
                )
            )


def _audit(counts: dict[Column, Count]) -> None:
    with platform_scope("audit the rotation"):
        audit.record(
            system_caller(None, "rotate_credentials"),
            "credentials.rotated",
            "credential",
            rotated=sum(count.rotated for count in counts.values()),
            seen=sum(count.seen for count in counts.values()),
            failed=sum(len(count.failed) for count in counts.values()),
            columns={str(column): count.rotated for column, count in counts.items() if count.rotated},
        )
