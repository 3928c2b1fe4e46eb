"""Files of conversations: taken in, shown by addresses that are signed for one person and expire, thrown away.

Every download asks again whether the person is in the conversation, so who is removed has lost the files, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple
from uuid import UUID

import structlog
from django.conf import settings
from django.core import signing
from django.core.files.base import ContentFile, File
from django.core.files.storage import Storage, storages
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from messaging.file_types import TYPES, examine, refused
from messaging.limits import admit
from messaging.models import MAX_FILE_NAME, ChatFile
from messaging.scanning import scan
from messaging.services.people import Person, person_of, place_of
from notification_service.lib.errors import NotFound
from notification_service.lib.ids import new_id
from notification_service.lib.scope import tenant_scope
from tenants.callers import Caller
from tenants.models import Tenant

log = structlog.get_logger(__name__)

_SALT: Final = "messaging.files"
#: A file that was never sent is thrown away after this long.
UNSENT: Final = timedelta(hours=24)


class Address(NamedTuple):
    """Where one person can fetch a file, and until when."""

    url: str
    expires_at: datetime


def storage() -> Storage:
    """Return where uploads are kept."""
    return storages["uploads"]


def upload(caller: Caller, conversation_id: UUID, uploaded: UploadedFile[Any]) -> ChatFile:
    """Keep a file for a conversation. Opens the tenant's scope itself: nothing is locked while a file is looked at.

    Raises ``NotFound``, ``InvalidInput`` (``file``), ``TooManyRequests``, ``Unavailable``.
    """
    person = person_of(caller)
    admit(person.tenant_id, person.user_id, "upload")
    with tenant_scope(person.tenant_id):
        place_of(person, conversation_id)
    if (uploaded.size or 0) > settings.CHAT_MAX_FILE_BYTES:
        raise refused(f"At most {settings.CHAT_MAX_FILE_BYTES:,} octets are allowed.")
    data = uploaded.read()
    scanned = scan(data)
    content = examine(data)
    file_id = new_id()
    key = f"{person.tenant_id}/chat/{conversation_id}/{file_id}{TYPES[content.content_type]}"
    key = storage().save(key, ContentFile(content.data))
    try:
        with tenant_scope(person.tenant_id):
            conversation, _ = place_of(person, conversation_id)
            return ChatFile.objects.create(
                id=file_id,
                tenant_id=person.tenant_id,
                conversation=conversation,
                uploaded_by=person.user_id,
                name=_name(uploaded.name or "", content.content_type),
                content_type=content.content_type,
                size=len(content.data),
                width=content.width,
                height=content.height,
                key=key,
                scan=scanned,
            )
    except BaseException:
        storage().delete(key)
        raise


def get(caller: Caller, file_id: UUID) -> ChatFile:
    """Return a file of a conversation that the caller is in. Raises ``NotFound``."""
    return _visible(person_of(caller), file_id)


def address(caller: Caller, file: ChatFile) -> Address:
    """Return the address under which the caller alone can fetch a file for a while."""
    person = person_of(caller)
    token = signing.dumps([str(person.tenant_id), str(file.id), person.user_id], salt=_SALT)
    url = f"{settings.PUBLIC_URL}{reverse('chat-file-content', args=[file.id])}?token={token}"
    return Address(url, timezone.now() + timedelta(seconds=settings.CHAT_FILE_URL_SECONDS))


def open_signed(file_id: UUID, token: str) -> tuple[ChatFile, File[Any]]:
    """Open a file for whom an address was made, if they may still see it. Raises ``NotFound`` and nothing else."""
    try:
        said = signing.loads(token, salt=_SALT, max_age=settings.CHAT_FILE_URL_SECONDS)
        person = Person(UUID(said[0]), said[2], "")
    except (signing.BadSignature, ValueError, TypeError, LookupError):
        raise NotFound from None
    if said[1] != str(file_id):
        raise NotFound
    tenant = Tenant.objects.filter(id=person.tenant_id).first()
    if tenant is None or not tenant.is_open:
        raise NotFound
    with tenant_scope(person.tenant_id):
        file = _visible(person, file_id)
    try:
        return file, storage().open(file.key)
    except FileNotFoundError:
        log.warning("chat_file_lost", file_id=str(file_id))
        raise NotFound from None


def discard(files: Iterable[ChatFile]) -> None:
    """Delete files, from the storage once the transaction has committed."""
    for file in files:
        key = file.key
        file.delete()
        transaction.on_commit(lambda key=key: storage().delete(key))  # type: ignore[misc]


def discard_unsent(now: datetime) -> int:
    """Delete files that were uploaded and never sent; return how many. Needs a scope."""
    rows = ChatFile.objects.filter(messages=None, created_at__lt=now - UNSENT)
    found = list(rows[:500])
    discard(found)
    return len(found)


def _visible(person: Person, file_id: UUID) -> ChatFile:
    file = ChatFile.objects.filter(id=file_id).first()
    if file is None:
        raise NotFound
    place_of(person, file.conversation_id)
    if file.uploaded_by != person.user_id and not file.messages.exists():
        raise NotFound  # not sent yet
    return file


def _name(name: str, content_type: str) -> str:
    """Return a name to show: without a path or control characters, and with the ending of what the file is."""
    plain = "".join(letter for letter in PurePosixPath(name.replace("\\", "/")).name if letter.isprintable()).strip()
    if content_type == "text/plain":  # .csv, .md, .log and the like: all of them are text
        return (plain or "file.txt")[:MAX_FILE_NAME]
    ending = TYPES[content_type]
    return (plain.removesuffix(PurePosixPath(plain).suffix) or "file")[: MAX_FILE_NAME - len(ending)] + ending
