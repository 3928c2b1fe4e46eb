"""What a provider has taken and the database does not know yet, in a file: it outlives the process, if it is killed.

A worker that dies between a provider's answer and the commit of the outcome would have the message sent again when its
lease runs out. So each answer that says "taken" is appended to a small file of its chunk; the file goes when the
outcomes are committed. Whoever drains next on the same machine applies what files of dead workers say, under the leases
that still stand. Nothing is synchronised to the disk: the file is for a process that dies, not for a machine.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

import orjson
import structlog
from django.conf import settings

from notification_service.lib.scope import tenant_scope
from notifications.providers.base import SendResult
from notifications.records import hooks, queue
from notifications.records.outcomes import Outcome, decide, write_outcomes
from notifications.records.states import Status

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Journal:
    """The file of one chunk. A disk that refuses it is no reason not to send: then there is none."""

    tenant_id: UUID
    token: UUID
    _file: int = -1
    _path: Path = Path()
    _refused: bool = False

    def note(self, outcome: Outcome) -> None:
        """Append an outcome if it is a success that a provider told."""
        if self._refused or outcome.status != Status.SUCCESS or not outcome.tries:
            return
        last, result = outcome.tries[-1], outcome.result
        line = orjson.dumps(
            (outcome.claimed.id, last.provider, last.credential_id, result.code, result.response[:500],
             result.provider_message_id, last.started_at, last.finished_at, outcome.segments, outcome.encoding)
        )  # fmt: skip
        try:
            if self._file < 0:
                self._open()
            os.write(self._file, line + b"\n")
        except OSError as error:
            self._refused = True  # a full disk is said once a chunk, and a line that was cut off is the last
            log.warning("journal_not_written", error=type(error).__name__)

    def close(self, *, committed: bool) -> None:
        """Delete the file if what it says is committed; else leave it to whoever comes after."""
        if self._file >= 0:
            if committed:
                with suppress(OSError):
                    self._path.unlink()
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        directory: Path = settings.JOURNAL_DIR
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / f"{self.tenant_id.hex}-{self.token.hex}"
        self._file = os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # says that we live


def recover() -> int:
    """Apply what dead workers of this machine left behind; return how many records ended. Opens scopes of its own.

    Never raises.
    """
    ended = 0
    for path in _files():
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                tenant_id, _, token = path.name.partition("-")
                ended += _apply(UUID(tenant_id), UUID(token), file.read().splitlines())
                path.unlink(missing_ok=True)
        except (BlockingIOError, FileNotFoundError):
            continue  # its worker lives, or has just committed it
        except Exception:  # a listener may raise what it likes; whoever comes next tries again
            log.exception("journal_not_applied")
    if ended:
        log.warning("journal_applied", count=ended)
    return ended


def _files() -> list[Path]:
    try:
        return list(Path(settings.JOURNAL_DIR).iterdir())
    except OSError:  # nobody has written one yet
        return []


def _apply(tenant_id: UUID, token: UUID, lines: Sequence[bytes]) -> int:
    noted = {}
    for line in lines:
        with suppress(orjson.JSONDecodeError):  # the last one, cut off
            row = orjson.loads(line)
            noted[UUID(row[0])] = row
    if not noted:
        return 0
    with tenant_scope(tenant_id):
        outcomes = []
        for claimed in queue.held_under(tenant_id, token, list(noted)):
            _, provider, credential, code, response, message_id, started, finished, segments, encoding = noted[
                claimed.id
            ]
            outcomes.append(
                decide(
                    claimed,
                    SendResult.success(code=code, response=response, provider_message_id=message_id),
                    provider=provider,
                    credential_id=UUID(credential) if credential else None,
                    started_at=datetime.fromisoformat(started),
                    now=datetime.fromisoformat(finished),
                    segments=segments,
                    encoding=encoding,
                )
            )
        counted = write_outcomes(tenant_id, outcomes) if outcomes else []
        if counted:
            hooks.announce(counted)
        return len(counted)
