"""``manage.py migrate_safely``: migrate, however many processes try it at once."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from notification_service.checks import refuse_unsafe_role

_LOCK = 0x6E6F7469666D6967  # "notifmig": one number that every process of this service agrees on


class Command(BaseCommand):
    """Migrate under an advisory lock: the first does the work, the others wait and then find nothing to do."""

    help = "Apply migrations; processes that do this at the same time take turns."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--timeout", type=float, default=600, help="Seconds to wait for the others (600).")

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_unsafe_role()
        with _advisory_lock(options["timeout"]):
            call_command("migrate", interactive=False, verbosity=options["verbosity"])


@contextmanager
def _advisory_lock(timeout: float) -> Iterator[None]:
    """Hold the lock on a connection of its own, which gives it back even if this process is killed.

    Tried again and again rather than waited for in the server: a statement that waits holds a snapshot, and an index
    that is built concurrently by the one who migrates would wait for it for ever.
    """
    holder = connection.copy()
    try:
        deadline = time.monotonic() + timeout
        with holder.cursor() as cursor:
            while True:
                cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
                if cursor.fetchone() == (True,):
                    break
                if time.monotonic() > deadline:
                    raise CommandError(f"another process has been migrating for more than {timeout:.0f} s")
                time.sleep(0.25)
            try:
                yield
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
    finally:
        holder.close()
