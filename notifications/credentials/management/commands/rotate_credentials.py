"""``manage.py rotate_credentials``: every credential under the first key of ``ENCRYPTION_KEYS``."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from notification_service.lib.encryption import DecryptionError, key_ring
from notification_service.lib.scope import platform_scope
from notifications.credentials.models import Credential
from notifications.credentials.services import rotate
from tenants import audit
from tenants.callers import system_caller

#: Credentials per transaction: a rotation that is interrupted goes on where it was.
BATCH = 500
_SHOWN = 10


class Command(BaseCommand):
    help = (
        "Encrypt the data keys of all credentials under the first key of ENCRYPTION_KEYS. "
        "When it says that none was left, the older keys may be removed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count what would be rotated")

    def handle(self, *args: Any, **options: Any) -> None:
        seen, rotated, failed, last = 0, 0, list[UUID](), UUID(int=0)
        while True:
            with platform_scope("rotate credentials"):
                batch = list(Credential.objects.select_for_update().filter(id__gt=last).order_by("id")[:BATCH])
                for credential in batch:
                    try:
                        rotated += _is_old(credential) if options["dry_run"] else rotate(credential)
                    except DecryptionError:
                        failed.append(credential.id)
            if not batch:
                break
            seen, last = seen + len(batch), batch[-1].id
        if not options["dry_run"]:
            with platform_scope("audit the rotation"):
                audit.record(
                    system_caller(None, "rotate_credentials"),
                    "credentials.rotated",
                    "credential",
                    rotated=rotated,
                    seen=seen,
                    failed=len(failed),
                )
        self.stdout.write(f"{rotated} of {seen} credentials {'to rotate' if options['dry_run'] else 'rotated'}.")
        if failed:
            ids = ", ".join(map(str, failed[:_SHOWN])) + (", …" if len(failed) > _SHOWN else "")
            raise CommandError(f"{len(failed)} credential(s) open under no key of ENCRYPTION_KEYS: {ids}")


def _is_old(credential: Credential) -> bool:
    return not key_ring().is_current(bytes(credential.payload_encrypted))
