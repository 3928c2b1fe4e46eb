"""``manage.py rotate_signing_keys``: a new key signs the service's tokens."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from notification_service.lib.scope import platform_scope
from tenants import audit, signing_keys
from tenants.callers import system_caller


class Command(BaseCommand):
    help = "Make a new key that signs tokens from now on; older keys verify until their last token has expired."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--distrust-old",
            action="store_true",
            help="a key leaked: tokens of all older keys stop being valid within a minute",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with platform_scope("rotate signing keys"):
            key = signing_keys.rotate(distrust_old=options["distrust_old"])
            audit.record(
                system_caller(None, "rotate_signing_keys"),
                "signing_key.rotated",
                "signing_key",
                key.id,
                distrust_old=options["distrust_old"],
            )
        signing_keys.forget_copies()
        self.stdout.write(f"Key {key.id} signs from now on.")
