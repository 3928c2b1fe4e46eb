"""``manage.py down``: stop what ``up`` runs."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from notification_service.local.up import UpFailed, down, reset


class Command(BaseCommand):
    """Stop everything that ``up`` started from this checkout; with ``--delete-data`` forget it too."""

    help = "Stop what `up` runs from this checkout."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--delete-data", action="store_true", help="Delete all local data afterwards.")

    def handle(self, *args: Any, **options: Any) -> None:
        stop = reset if options["delete_data"] else down
        try:
            self.stdout.write(stop(settings.BASE_DIR))
        except UpFailed as error:
            raise SystemExit(str(error)) from error
