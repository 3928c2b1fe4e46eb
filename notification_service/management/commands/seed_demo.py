"""``manage.py seed_demo``: the tenants, people and credentials that ``make up`` shows the service with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from notification_service.local.demo import seed_demo


class Command(BaseCommand):
    help = "Make the demo tenants (or complete them) and write how to use them to a file."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--write", type=Path, required=True, metavar="FILE", help="where demo.json goes (mode 600)")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("Demo data is for development: it is not made while DEBUG is false.")
        seed_demo(options["write"])
