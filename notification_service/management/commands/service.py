"""``manage.py service``: look at, stop and start single services of a running ``up``."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from notification_service.local.control import NotRunning, RequestRefused, ask, wait_for_state


class Command(BaseCommand):
    """``status``, ``stop NAME`` and ``start NAME`` (make status, make stop SERVICE=redis, make start SERVICE=redis)."""

    help = "Show, stop or start services of a running `up`."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("verb", choices=["status", "stop", "start"])
        parser.add_argument("name", nargs="?", default="", help="postgres, redis, web, worker, beat or sandbox")

    def handle(self, *args: Any, **options: Any) -> None:
        verb, name, local = options["verb"], options["name"], settings.BASE_DIR / ".local"
        try:
            if verb == "status":
                self._show(ask(local, "status")["services"])
                return
            ask(local, verb, name)
            state = "stopped" if verb == "stop" else "ready"
            wait_for_state(local, name, state)
        except NotRunning as error:
            raise SystemExit("nothing is running here; start it with: make up") from error
        except RequestRefused as error:
            raise SystemExit(str(error)) from error
        self.stdout.write(f"{name} is {state}")

    def _show(self, services: list[dict[str, Any]]) -> None:
        for one in services:
            process = f"pid {one['pid']}" if one["pid"] else ""
            restarts = f"{one['restarts']} restarts" if one["restarts"] else ""
            line = f"{one['name']:<10} {one['state']:<9} {one['seconds']:>9.0f} s  {process:<12} {restarts}"
            self.stdout.write(line.rstrip())
