"""Idempotency keys: a request that is repeated gets the answer that it got, and does nothing.

The IETF draft "The Idempotency-Key HTTP Header Field" describes the header; kept for ``IDEMPOTENCY_HOURS``.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.utils import timezone

from notification_service.lib.errors import InvalidInput, Unprocessable
from notifications.records.models import IdempotencyKey

_MAX = 255


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered, and whether that was earlier."""

    status: int
    body: Any
    replayed: bool = False


def is_usable_key(key: str) -> bool:
    """Whether a text may serve as a key: 1 to 255 printable characters."""
    return 0 < len(key) <= _MAX and key.isprintable()


def fingerprint_of(door: str, body: Any) -> bytes:
    """Return what tells one request from another: the door and the parsed body, whatever the order of its fields.

    Raises ``InvalidInput`` for a body that is nested too deeply.
    """
    try:
        return hashlib.sha256(orjson.dumps([door, body], option=orjson.OPT_SORT_KEYS, default=str)).digest()
    except TypeError:
        raise InvalidInput("The request is nested too deeply.") from None


def answer_once(tenant_id: UUID, key: str | None, fingerprint: bytes, act: Callable[[], Answer]) -> Answer:
    """Return ``act()``, or what it returned when this key was first used. Needs the tenant's scope.

    The key is written in the transaction of the act: both commit or neither. Of two requests at the same time the
    second waits for the first. Raises ``Unprocessable`` if the key was used for a different request.
    """
    if key is None:
        return act()
    if not is_usable_key(key):
        message = f"Must have 1 to {_MAX} printable characters."
        raise InvalidInput(f"Idempotency-Key: {message}", errors={"Idempotency-Key": [message]})
    claimed = _claim(tenant_id, key, fingerprint)
    if claimed is None:
        return _earlier(key, fingerprint)
    answer = act()
    claimed.status_code, claimed.response = answer.status, answer.body
    claimed.save(update_fields=["status_code", "response"])
    return answer


def _claim(tenant_id: UUID, key: str, fingerprint: bytes) -> IdempotencyKey | None:
    """Write the key, or return None if it is there; waits for whoever is just writing it."""
    now = timezone.now()
    IdempotencyKey.objects.filter(key=key, expires_at__lte=now).delete()
    row = IdempotencyKey(
        tenant_id=tenant_id,
        key=key,
        request_hash=fingerprint,
        response={},
        created_at=now,
        expires_at=now + timedelta(hours=settings.IDEMPOTENCY_HOURS),
    )
    IdempotencyKey.objects.bulk_create([row], ignore_conflicts=True)
    return IdempotencyKey.objects.filter(id=row.id).first()


def _earlier(key: str, fingerprint: bytes) -> Answer:
    found = IdempotencyKey.objects.get(key=key)
    if not hmac.compare_digest(bytes(found.request_hash), fingerprint):
        raise Unprocessable(
            "This Idempotency-Key was used for a different request.",
            code="idempotency_key_reused",
            errors={"Idempotency-Key": ["Already used for a different request."]},
        )
    return Answer(found.status_code, found.response, replayed=True)


def delete_expired() -> int:
    """Forget keys that are past their time; return how many. Needs ``platform_scope``."""
    return IdempotencyKey.objects.filter(expires_at__lte=timezone.now()).delete()[0]
