"""``manage.py up``: the whole service on this machine, in one terminal."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from notification_service.local.up import UpFailed, up


class Command(BaseCommand):
    """Run embedded servers, web, worker, beat and sandbox under one supervisor (``make up``)."""

    help = "Run the whole service for development on this machine until Ctrl-C."
    requires_system_checks: list[str] = []  # there is no database yet

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            up(settings.BASE_DIR)
        except UpFailed as error:
            raise SystemExit(str(error)) from error
