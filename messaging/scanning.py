"""A virus scanner that files are shown to before they are kept: clamd's INSTREAM (man clamd, «COMMANDS»)."""

from __future__ import annotations

import socket
import struct
from typing import Final

import structlog
from django.conf import settings

from notification_service.lib.errors import InvalidInput, Unavailable

log = structlog.get_logger(__name__)

CLEAN: Final = "clean"
NOT_SCANNED: Final = "not_scanned"
_TIMEOUT: Final = 30.0
_CHUNK: Final = 64 * 1024


def scan(data: bytes) -> str:
    """Return ``clean``, or ``not_scanned`` where no scanner is set up.

    Raises ``InvalidInput`` (``file``) for a file that is infected, ``Unavailable`` if the scanner does not answer:
    where there is one, nothing passes by it.
    """
    if not settings.CLAMAV_ADDRESS:
        return NOT_SCANNED
    host, _, port = settings.CLAMAV_ADDRESS.rpartition(":")
    try:
        answer = _ask(host.strip("[]"), int(port), data)
    except (OSError, ValueError) as error:
        log.warning("virus_scanner_unavailable", error=type(error).__name__)
        raise Unavailable("The virus scanner does not answer; try again.", retry_after=10.0) from None
    if answer == "stream: OK":
        return CLEAN
    if answer.endswith(" FOUND"):
        log.warning("infected_file_refused", found=answer.removeprefix("stream: ").removesuffix(" FOUND"))
        raise InvalidInput.at("file", "This file is infected.", code="infected")
    log.warning("virus_scanner_unavailable", error=answer[:200])
    raise Unavailable("The virus scanner could not look at this file.", retry_after=10.0)


def _ask(host: str, port: int, data: bytes) -> str:
    with socket.create_connection((host, port), timeout=_TIMEOUT) as connection:
        connection.sendall(b"zINSTREAM\0")
        for start in range(0, len(data), _CHUNK):
            chunk = data[start : start + _CHUNK]
            connection.sendall(struct.pack("!I", len(chunk)) + chunk)
        connection.sendall(struct.pack("!I", 0))
        answer = b""
        while not answer.endswith(b"\0"):
            received = connection.recv(4096)
            if not received:
                break
            answer += received
    return answer.rstrip(b"\0").decode("utf-8", "replace").strip()
