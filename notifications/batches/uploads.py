"""Uploaded files: looked at, stored as UTF-8, opened again, deleted. Where they are is a setting (``STORAGES``)."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, Final
from uuid import UUID

from django.conf import settings
from django.core.files import File
from django.core.files.storage import Storage, storages

from notification_service.lib.errors import InvalidInput
from notifications.batches.dialects import Dialect, detect_dialect, detect_encoding, refused, write_utf8
from notifications.batches.ranged import open_object
from notifications.batches.spreadsheets import check_workbook, is_workbook

_IN_MEMORY: Final = 1024 * 1024


class TooLarge(InvalidInput):
    """A file that is longer than ``BULK_MAX_BYTES``."""

    code, status = "too_large", 413


@dataclass(frozen=True, slots=True)
class Upload:
    """A stored file. ``dialect`` is None for a workbook, which is made a table of later."""

    name: str
    path: str
    size: int
    encoding: str
    dialect: Dialect | None
    digest: bytes


def store(tenant_id: UUID, job_id: UUID, file: IO[bytes], name: str, size: int, expected: Collection[str]) -> Upload:
    """Check and store a file; tables become UTF-8 on the way. Reads it block by block.

    ``expected`` are names by which the header is recognised. Raises ``InvalidInput`` for the field ``file``.
    """
    if not size:
        raise refused("The file is empty.")
    if size > settings.BULK_MAX_BYTES:
        message = f"The file is longer than {settings.BULK_MAX_BYTES:,} octets."
        raise TooLarge.at("file", message)
    digest = _digest(file)
    if is_workbook(file):
        check_workbook(file)
        file.seek(0)
        path = save(tenant_id, job_id, file, "xlsx")
        return Upload(name[:255], path, size, "xlsx", None, digest)
    encoding = detect_encoding(file)
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as plain:
        write_utf8(file, encoding, plain)
        length = plain.tell()
        dialect = detect_dialect(plain, expected)
        plain.seek(0)
        return Upload(name[:255], save(tenant_id, job_id, plain, "csv"), length, _shown(encoding), dialect, digest)


def save(tenant_id: UUID, job_id: UUID, file: Any, suffix: str) -> str:
    """Store a file that is at its beginning; return the path by which it is found again."""
    return uploads().save(f"bulk/{tenant_id}/{job_id}.{suffix}", File(file))


def open_stored(path: str) -> IO[bytes]:
    """Open a stored file to read: all of it. Raises ``FileNotFoundError``."""
    file = uploads().open(path, "rb").file  # what Django wraps it into is slow, line by line
    if file is None:
        raise FileNotFoundError(path)
    return file


def open_at(path: str) -> IO[bytes]:
    """Open a stored file of which a part will be read: of one in a bucket, that part alone is fetched."""
    bucket = getattr(uploads(), "bucket", None)
    if bucket is None:
        return open_stored(path)
    if not uploads().exists(path):
        raise FileNotFoundError(path)
    return open_object(bucket.Object(path))


def delete(path: str) -> None:
    """Delete a stored file; one that is gone is no error."""
    if path:
        with suppress(FileNotFoundError):
            uploads().delete(path)


def uploads() -> Storage:
    """Return where uploads are kept."""
    return storages["uploads"]


def _digest(file: IO[bytes]) -> bytes:
    file.seek(0)
    digest = hashlib.sha256()
    while block := file.read(_IN_MEMORY):
        digest.update(block)
    return digest.digest()


def _shown(encoding: str) -> str:
    return {"cp1252": "windows-1252", "latin-1": "iso-8859-1"}.get(encoding, encoding)
