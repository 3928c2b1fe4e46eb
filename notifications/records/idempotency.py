"""Idempotency keys: a request that is repeated gets the answer that it got, and does nothing.

The IETF draft "The Idempotency-Key HTTP Header Field" describes the header; kept for ``IDEMPOTENCY_HOURS``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db import connection
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


def answer_once(tenant_id: UUID, key: str | None, request: Mapping[str, Any], act: Callable[[], Answer]) -> Answer:
    """Return ``act()``, or what it returned when this key was first used. Needs the tenant's scope.

    The key is written in the transaction of the act: both commit or neither. Of two requests at the same time the
    second waits for the first. Raises ``Unprocessable`` if the key was used for a different request.
    """
    if key is None:
        return act()
    if not key or len(key) > _MAX or not key.isprintable():
        message = f"Must have 1 to {_MAX} printable characters."
        raise InvalidInput(f"Idempotency-Key: {message}", errors={"Idempotency-Key": [message]})
    try:
        fingerprint = hashlib.sha256(orjson.dumps(request, option=orjson.OPT_SORT_KEYS, default=str)).digest()
    except TypeError:
        raise InvalidInput("The request is nested too deeply.") from None
    known = _known(key, fingerprint)
    if known is not None:
        return known
    # Two first uses at once: the lock makes the second see what the first committed, and is gone with our transaction.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{tenant_id}:{key}"])
    known = _known(key, fingerprint)
    if known is not None:
        return known
    answer = act()
    IdempotencyKey.objects.create(
        tenant_id=tenant_id,
        key=key,
        request_hash=fingerprint,
        status_code=answer.status,
        response=answer.body,
        expires_at=timezone.now() + timedelta(hours=settings.IDEMPOTENCY_HOURS),
    )
    return answer


def _known(key: str, fingerprint: bytes) -> Answer | None:
    found = IdempotencyKey.objects.filter(key=key).first()
    if found is None:
        return None
    if found.expires_at <= timezone.now():
        found.delete()
        return None
    if bytes(found.request_hash) != fingerprint:
        raise Unprocessable(
            "This Idempotency-Key was used for a different request.",
            code="idempotency_key_reused",
            errors={"Idempotency-Key": ["Already used for a different request."]},
        )
    return Answer(found.status_code, found.response, replayed=True)


def delete_expired() -> int:
    """Forget keys that are past their time; return how many. Needs ``platform_scope``."""
    return IdempotencyKey.objects.filter(expires_at__lte=timezone.now()).delete()[0]
