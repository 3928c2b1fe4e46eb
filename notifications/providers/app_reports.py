"""What an app reports of push messages: FCM's HTTP v1 API itself reports nothing after it accepted one.

The app knows the record by ``notification_id`` in the message's data. It tells us, or its own back end, which does::

    POST /webhooks/fcm/{credential id}
    X-Signature-256: sha256={hex HMAC-SHA256 of the body under report_secret}

    {"reports": [{"notification_id": "0192…", "event": "received", "at": "2026-11-20T16:00:00Z"}]}
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from notifications.providers.base import Receipt, ReceiptRequest, ReceiptState

SIGNATURE = "X-Signature-256"
MAX_REPORTS = 1000
#: Good news only: who has taken the secret out of an app can make nobody unreachable with it.
EVENTS: Mapping[str, ReceiptState] = {"received": "delivered", "opened": "opened", "clicked": "clicked"}


class _Report(msgspec.Struct):
    notification_id: UUID
    event: str
    at: datetime | None = None


class _Reports(msgspec.Struct):
    reports: list[_Report]


_DECODER = msgspec.json.Decoder(_Reports)


def is_signed(request: ReceiptRequest, secret: str) -> bool:
    """Whether the body is signed with the secret."""
    expected = "sha256=" + hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), request.header(SIGNATURE).lower().encode("utf-8", "replace"))


def parse_reports(body: bytes) -> list[Receipt]:
    """Return the receipts of a call; times in the future become now. Raises ``ValueError``."""
    try:
        reports = _DECODER.decode(body).reports
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None
    if len(reports) > MAX_REPORTS:
        raise ValueError(f"reports: at most {MAX_REPORTS} are taken in a call.")
    if unknown := next((report.event for report in reports if report.event not in EVENTS), None):
        raise ValueError(f"event: {unknown[:40]!r} is not known; known: {', '.join(EVENTS)}.")
    now = datetime.now(UTC)
    return [Receipt("", EVENTS[each.event], min(_aware(each.at, now), now), each.notification_id) for each in reports]


def _aware(moment: datetime | None, now: datetime) -> datetime:
    if moment is None:
        return now
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
