"""Secrets of events: taken out of the payload at the door, filled in at the last moment, forgotten when sent.

In between the payload, the records made of it and whatever shows them hold a marker. The values lie encrypted in the
event's row until no message needs them any more.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from django.utils import timezone

from notification_service.lib.encryption import DecryptionError, key_ring
from notification_service.lib.masking import MASK, is_secret_name
from notifications.channels.sms import measure
from notifications.events.catalogue import known_events
from notifications.events.happening import Happening
from notifications.events.models import UNDECIDED, Event
from notifications.records.hooks import Finish
from notifications.records.models import NotificationRecord
from notifications.records.queue import Claimed
from notifications.records.states import FINAL

log = structlog.get_logger(__name__)

#: Plain characters of every alphabet, so that measuring and escaping the marker changes nothing.
_MARKER: Final = re.compile(r"\*secret:([\w.-]{1,200})\*")
_HTML_FIELDS: Final = frozenset({"html"})
#: However its messages fare, no secret is kept longer than this.
_LONGEST: Final = timedelta(days=3)


def marker(path: str) -> str:
    """Return what stands for the secret at a path of the payload."""
    return f"*secret:{path}*"


def take_out(event_type: str, payload: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the payload with markers for its secrets, and the secrets by path.

    Secret is what the catalogue says, and what is called a secret (``password``, ``token``, ``api_key`` …).
    """
    known = known_events().get(event_type)
    names = known.secret if known else ()
    if not _holds_secret(payload, names):
        return dict(payload), {}
    taken: dict[str, str] = {}

    def clean(value: Any, path: str, *, secret: bool) -> Any:
        if isinstance(value, Mapping):
            return {
                key: clean(item, f"{path}.{key}" if path else key, secret=secret or key in names or _is_secret(key))
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [clean(item, f"{path}.{index}", secret=secret) for index, item in enumerate(value)]
        if not secret or value is None or isinstance(value, bool):
            return value
        safe = re.sub(r"[^\w.-]", "_", path)[:200]
        # One line: a secret must not start a header of its own.
        taken[safe] = " ".join(str(value).split())
        return marker(safe)

    return clean(payload, "", secret=False), taken


def _holds_secret(value: Any, names: Sequence[str]) -> bool:
    """Whether anything in it goes by a secret's name: in the ordinary event nothing does."""
    if isinstance(value, dict):
        for key, item in value.items():
            if _is_secret(key) or key in names or (type(item) is not str and _holds_secret(item, names)):
                return True
        return False
    if isinstance(value, list):
        return any(_holds_secret(item, names) for item in value)
    return isinstance(value, Mapping)


@lru_cache(maxsize=4096)
def _is_secret(name: str) -> bool:
    # ``push_tokens`` and a device's ``token`` are addresses, and names of people's keys are not always secrets.
    return name not in ("token", "tokens", "push_token", "push_tokens", "device_token") and is_secret_name(name)


def seal(event: Happening, secrets: Mapping[str, str]) -> None:
    """Put the secrets, encrypted, into the event (unsaved)."""
    if secrets:
        clear = orjson.dumps(secrets)
        event.secrets_encrypted = key_ring().encrypt(clear, associated_data=event.associated_data)


def opened(event: Event) -> dict[str, str]:
    """Return the secrets of an event; none if it has none, or has them no more."""
    if event.secrets_encrypted is None:
        return {}
    try:
        clear = key_ring().decrypt(bytes(event.secrets_encrypted), associated_data=event.associated_data)
    except DecryptionError:
        log.error("event_secrets_unreadable", event_id=str(event.id))
        return {}
    found: dict[str, str] = orjson.loads(clear)
    return found


def fill_in_secrets(claimed: Sequence[Claimed]) -> dict[UUID, Finish]:
    """Return what fills in the secrets of the events that these records came of (``hooks.on_claimed``)."""
    events = {each.event_id for each in claimed if each.event_id and _has_marker(each)}
    if not events:
        return {}
    secrets = {event.id: opened(event) for event in Event.objects.filter(id__in=events)}

    def finish(record: Claimed, content: dict[str, Any]) -> dict[str, Any]:
        known = secrets.get(record.event_id, {}) if record.event_id else {}
        filled: dict[str, Any] = {
            name: _fill(value, known, markup=name in _HTML_FIELDS) for name, value in content.items()
        }
        if "segments" in filled:
            filled["encoding"], filled["segments"] = measure(filled["body"])
        return filled

    return {each.id: finish for each in claimed if each.event_id in events}


def forget_spent(limit: int = 500) -> int:
    """Forget secrets whose messages have all come to an end, or that are too old; return how many events had some.

    Needs ``platform_scope``.
    """
    holding = Event.objects.exclude(secrets_encrypted=None).exclude(status__in=UNDECIDED).order_by("received_at")
    events = list(holding.only("id", "reactions", "received_at")[:limit])
    ids = {event.id: record_ids(event.reactions) for event in events}
    everything = [record_id for each in ids.values() for record_id in each]
    unfinished = NotificationRecord.objects.filter(id__in=everything).exclude(status__in=FINAL)
    waiting = set(unfinished.values_list("id", flat=True))
    too_old = timezone.now() - _LONGEST
    spent = [
        event.id
        for event in events
        if event.received_at < too_old or not (_waits(event.reactions) or waiting.intersection(ids[event.id]))
    ]
    return Event.objects.filter(id__in=spent).update(secrets_encrypted=None) if spent else 0


def record_ids(reactions: Iterable[Mapping[str, Any]]) -> list[UUID]:
    """Return the ids of the records that came of an event."""
    return [UUID(record["id"]) for reaction in reactions for record in reaction.get("records", ())]


def _waits(reactions: Iterable[Mapping[str, Any]]) -> bool:
    return any(reaction.get("waiting") for reaction in reactions)


def _has_marker(claimed: Claimed) -> bool:
    return b"*secret:" in orjson.dumps([claimed.context, claimed.content], default=str)


def _fill(value: Any, secrets: Mapping[str, str], *, markup: bool) -> Any:
    if isinstance(value, str):
        if "*secret:" not in value:
            return value
        escape = html.escape if markup else str
        return _MARKER.sub(lambda found: escape(secrets.get(found[1], MASK)), value)
    if isinstance(value, Mapping):
        return {key: _fill(item, secrets, markup=markup) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, secrets, markup=markup) for item in value]
    return value
