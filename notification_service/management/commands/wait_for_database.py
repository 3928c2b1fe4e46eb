"""``manage.py wait_for_database``: return when PostgreSQL answers."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.utils import OperationalError


class Command(BaseCommand):
    """Wait until the database takes connections; fail with its own words after ``--timeout`` seconds."""

    help = "Wait until the database answers."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--timeout", type=float, default=60, help="Seconds (60).")

    def handle(self, *args: Any, **options: Any) -> None:
        deadline = time.monotonic() + options["timeout"]
        while True:
            connection = connections.create_connection(DEFAULT_DB_ALIAS)
            # Without the pool, which would hide PostgreSQL's own words behind "could not get a connection".
            connection.settings_dict = {**connection.settings_dict, "OPTIONS": {"connect_timeout": 5}}
            try:
                connection.ensure_connection()
            except OperationalError as error:
                if time.monotonic() > deadline:
                    reason = " ".join(str(error).split())
                    raise CommandError(f"no database after {options['timeout']:.0f} s: {reason}") from None
                time.sleep(0.5)
            else:
                return
            finally:
                connection.close()
