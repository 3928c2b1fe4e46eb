"""Verbs of sounds: what a file really is decides, and each tenant has a folder of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import PurePath
from typing import Final
from uuid import UUID

import puremagic
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction

from notification_service.lib.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from notification_service.lib.ids import new_id
from notifications.inbox.models import Sound
from tenants import audit
from tenants.callers import Caller
from tenants.models import Plan, Tenant

#: Sounds that a tenant may have by its plan; None for no limit.
PLAN_SOUNDS: Final[Mapping[str, int | None]] = {
    Plan.FREE: 3,
    Plan.STARTER: 10,
    Plan.PROFESSIONAL: 50,
    Plan.ENTERPRISE: None,
}
#: What browsers play, by the ending that belongs to a file's first octets.
_TYPES: Final[Mapping[str, str]] = {
    ".aac": "audio/aac",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".mp3": "audio/mpeg",
    ".mpga": "audio/mpeg",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".wav": "audio/wav",
}
_NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def upload(caller: Caller, *, data: bytes, file_name: str = "", name: str | None = None) -> Sound:
    """Keep a sound. Needs the tenant's scope.

    Raises ``InvalidInput`` for a file that is no sound or too long, ``Conflict`` for a name that is taken, and
    ``PermissionDenied`` (``plan_limit``) when the plan allows no more.
    """
    ending, content_type = _kind(data)
    name = name or _name_from(file_name)
    tenant = Tenant.objects.select_for_update().only("id", "plan").get(id=caller.required_tenant_id())
    most = PLAN_SOUNDS[tenant.plan]
    if Sound.objects.filter(name=name).exists():
        raise Conflict(f"name: There is a sound {name!r}.", code="name_taken", errors={"name": ["It is taken."]})
    if most is not None and Sound.objects.count() >= most:
        raise PermissionDenied(f"Your plan allows {most} sounds.", code="plan_limit")
    sound_id = new_id()
    place = default_storage.save(f"tenants/{tenant.id}/sounds/{sound_id}{ending}", ContentFile(data))
    sound = Sound.objects.create(
        id=sound_id,
        tenant_id=tenant.id,
        name=name,
        content_type=content_type,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        file=place,
        created_by=caller.actor_label or caller.actor_id,
    )
    audit.record(caller, "sound.uploaded", "sound", sound.id, name=name, size=len(data))
    return sound


def get(sound_id: UUID) -> Sound:
    """Return a sound. Raises ``NotFound``."""
    found = Sound.objects.filter(id=sound_id).first()
    if found is None:
        raise NotFound
    return found


def read(sound: Sound) -> bytes:
    """Return a sound's octets. Raises ``NotFound`` if the storage has lost it."""
    try:
        with default_storage.open(sound.file, "rb") as file:
            data: bytes = file.read()
    except FileNotFoundError:
        raise NotFound("The file of this sound is gone.", code="file_lost") from None
    return data


def delete(caller: Caller, sound_id: UUID) -> None:
    """Delete a sound, and its file after the commit. Raises ``NotFound``."""
    sound = get(sound_id)
    audit.record(caller, "sound.deleted", "sound", sound.id, name=sound.name)
    transaction.on_commit(partial(default_storage.delete, sound.file), robust=True)
    sound.delete()


def _kind(data: bytes) -> tuple[str, str]:
    """Return ending and type of a file by its first octets, whatever it is called."""
    if len(data) > settings.SOUND_MAX_BYTES:
        raise _refused(f"At most {settings.SOUND_MAX_BYTES:,} bytes; these are {len(data):,}.")
    try:
        ending = str(puremagic.magic_string(data)[0].extension)
    except (puremagic.PureError, ValueError, IndexError):
        ending = ""
    if ending not in _TYPES:
        raise _refused("This is no sound that browsers play: MP3, Ogg, WAV, FLAC, AAC or MP4 audio.")
    return ending, _TYPES[ending]


def _name_from(file_name: str) -> str:
    stem = "".join(each if each in _NAME_CHARACTERS else "-" for each in PurePath(file_name).stem)[:100].strip("-.")
    if not stem:
        raise InvalidInput.at("name", "Give the sound a name.")
    return stem


def _refused(message: str) -> InvalidInput:
    return InvalidInput.at("file", message)
