"""Caught messages in one SQLite file.

Writes gather and are committed together, at most every 50 ms; every reader flushes first, so a message is visible as
soon as it was added. A crash may lose the last moment: durability is the providers' business, not the sandbox's.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from sandbox.mail import Headers, Mail, parse, subject_of

FLUSH_AFTER = 0.05  # seconds
FLUSH_ROWS = 1_000
FLUSH_BYTES = 8 * 2**20
DEFAULT_KEEP = 200_000  # messages

# Bodies stand apart so that listing and searching never read them; recipients of one envelope share one.
_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;
PRAGMA busy_timeout = 5000;
CREATE TABLE IF NOT EXISTS bodies (id INTEGER PRIMARY KEY, raw BLOB NOT NULL, text TEXT, html TEXT, headers TEXT);
CREATE TABLE IF NOT EXISTS messages (
    id TEXT NOT NULL UNIQUE,
    channel TEXT NOT NULL,
    tenant TEXT NOT NULL,
    recipient TEXT NOT NULL,
    sender TEXT NOT NULL,
    subject TEXT NOT NULL,
    folded_recipient TEXT NOT NULL,
    folded TEXT NOT NULL,
    body INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS messages_channel ON messages (channel, id);
CREATE INDEX IF NOT EXISTS messages_tenant ON messages (tenant, id);
CREATE INDEX IF NOT EXISTS messages_recipient ON messages (folded_recipient, id);
CREATE INDEX IF NOT EXISTS messages_body ON messages (body);
"""
_SUMMARY = "m.id, m.channel, m.tenant, m.recipient, m.sender, m.subject"


@dataclass(frozen=True, slots=True)
class Filters:
    """Which messages are meant: ``to`` is an exact recipient, ``q`` part of recipient, sender or subject.

    Case makes no difference to either. An empty field does not restrict.
    """

    channel: str = ""
    tenant: str = ""
    to: str = ""
    q: str = ""
    before: str = ""

    def where(self) -> tuple[str, list[str]]:
        """Return an SQL condition over ``messages m`` and its parameters."""
        wanted = [
            ("m.channel = ?", self.channel),
            ("m.tenant = ?", self.tenant),
            ("m.folded_recipient = ?", self.to.casefold()),
            ("instr(m.folded, ?) > 0", self.q.casefold()),
            ("m.id < ?", self.before),
        ]
        used = [(condition, value) for condition, value in wanted if value]
        return " AND ".join(condition for condition, _ in used) or "1", [value for _, value in used]


class Store:
    """The messages of one data directory. Belongs to one event loop and its thread."""

    def __init__(self, directory: Path, keep: int = DEFAULT_KEEP) -> None:
        """Open (or make) ``directory/messages.sqlite3``; beyond ``keep`` messages the oldest go.

        Raises OSError or sqlite3.Error when the directory can not be used.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self._keep = keep
        self._db = sqlite3.connect(directory / "messages.sqlite3", isolation_level=None)
        self._db.executescript(_SCHEMA)
        self._count: int = self._db.execute("SELECT count(*) FROM messages").fetchone()[0]
        self._next_body: int = self._db.execute("SELECT coalesce(max(id), 0) + 1 FROM bodies").fetchone()[0]
        self._bodies: list[tuple[Any, ...]] = []
        self._rows: list[tuple[Any, ...]] = []
        self._pending_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(
        self,
        *,
        channel: str,
        tenant: str,
        to: Sequence[str],
        sender: str,
        raw: bytes,
        subject: str | None = None,
        text: str | None = None,
        html: str | None = None,
        headers: Headers | None = None,
    ) -> list[str]:
        """Keep one message per recipient and return their ids (UUIDv7), in the order of ``to``.

        Parts that are left out are read from ``raw``, as a mail, when someone asks for them.
        """
        if subject is None:
            subject = subject_of(raw) if channel == "email" else ""
        body = self._next_body
        self._next_body += 1
        self._bodies.append((body, raw, text, html, None if headers is None else json.dumps(headers)))
        ids = []
        for recipient in to:
            message_id = str(uuid7())
            folded = f"{recipient}\n{sender}\n{subject}".casefold()
            row = (message_id, channel, tenant, recipient, sender, subject, recipient.casefold(), folded, body)
            self._rows.append(row)
            ids.append(message_id)
        self._pending_bytes += len(raw)
        if len(self._rows) >= FLUSH_ROWS or self._pending_bytes >= FLUSH_BYTES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_AFTER, self.flush)
        return ids

    def flush(self) -> None:
        """Commit what has gathered, and drop the oldest messages beyond the limit."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._rows:
            return
        rows, bodies = self._rows, self._bodies
        self._rows, self._bodies, self._pending_bytes = [], [], 0
        with self._transaction():
            self._db.executemany("INSERT INTO bodies VALUES (?, ?, ?, ?, ?)", bodies)
            self._db.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            excess = self._count + len(rows) - self._keep
            dropped = 0
            if excess > 0:
                dropped = self._db.execute(
                    "DELETE FROM messages WHERE id IN (SELECT id FROM messages ORDER BY id LIMIT ?)", (excess,)
                ).rowcount
                self._db.execute(
                    "DELETE FROM bodies WHERE id < (SELECT coalesce(min(body), ?) FROM messages)", (self._next_body,)
                )
        self._count += len(rows) - dropped

    def count(self, filters: Filters) -> int:
        """Return how many messages match, ``before`` aside."""
        self.flush()
        where, values = Filters(filters.channel, filters.tenant, filters.to, filters.q).where()
        if not values:
            return self._count
        # The condition is made of constants above; values are bound.
        row = self._db.execute(f"SELECT count(*) FROM messages m WHERE {where}", values).fetchone()
        return int(row[0])

    def summaries(self, filters: Filters, limit: int) -> list[dict[str, Any]]:
        """Return matching messages, newest first, without their contents."""
        self.flush()
        where, values = filters.where()
        query = f"SELECT {_SUMMARY} FROM messages m WHERE {where} ORDER BY m.id DESC LIMIT ?"
        return [_summary(row) for row in self._db.execute(query, [*values, limit])]

    def messages(self, filters: Filters, limit: int) -> Iterator[dict[str, Any]]:
        """Yield matching messages, newest first, each read and parsed when its turn comes."""
        for summary in self.summaries(filters, limit):
            message = self.get(summary["id"])
            if message is not None:  # it may have been cleared meanwhile
                yield message

    def get(self, message_id: str) -> dict[str, Any] | None:
        """Return one message with its contents, or None."""
        self.flush()
        row = self._db.execute(
            f"SELECT {_SUMMARY}, b.raw, b.text, b.html, b.headers, b.id"
            " FROM messages m JOIN bodies b ON b.id = m.body WHERE m.id = ?",
            (message_id,),
        ).fetchone()
        if row is None:
            return None
        raw, text, html, headers, body = row[6:]
        recipients = self._db.execute("SELECT recipient FROM messages WHERE body = ? ORDER BY id", (body,)).fetchall()
        mail = parse(raw) if row[1] == "email" else Mail()
        return {
            **_summary(row),
            "text": mail.text if text is None else text,
            "html": mail.html if html is None else html,
            "headers": mail.headers if headers is None else json.loads(headers),
            "attachments": mail.attachments,
            "cc": mail.cc,
            "bcc": mail.bcc([recipient for (recipient,) in recipients]),
            "raw": raw.decode("utf-8", "replace"),
        }

    def raw(self, message_id: str) -> bytes | None:
        """Return the bytes of one message as they were received, or None."""
        self.flush()
        row = self._db.execute(
            "SELECT b.raw FROM messages m JOIN bodies b ON b.id = m.body WHERE m.id = ?", (message_id,)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def channels(self) -> list[str]:
        """Return the channels that have messages, sorted."""
        return self._distinct("channel")

    def tenants(self) -> list[str]:
        """Return the tenants that have messages, sorted; mail without a login belongs to none."""
        return self._distinct("tenant")

    def clear(self, filters: Filters) -> int:
        """Delete matching messages and return how many there were."""
        self.flush()
        where, values = filters.where()
        with self._transaction():
            if not values:  # without a condition SQLite drops whole tables at once
                self._db.execute("DELETE FROM messages")
                self._db.execute("DELETE FROM bodies")
                deleted, self._count = self._count, 0
                return deleted
            query = f"DELETE FROM messages AS m WHERE {where} RETURNING body"
            bodies = self._db.execute(query, values).fetchall()
            self._db.executemany(
                "DELETE FROM bodies WHERE id = ? AND NOT EXISTS (SELECT 1 FROM messages WHERE body = bodies.id)", bodies
            )
        self._count -= len(bodies)
        return len(bodies)

    def close(self) -> None:
        """Commit what has gathered and close the file."""
        self.flush()
        self._db.close()

    def _distinct(self, column: str) -> list[str]:
        # Skips from one value to the next along the index: a plain DISTINCT would walk all of it.
        self.flush()
        query = (
            f"WITH RECURSIVE v(x) AS (SELECT min({column}) FROM messages UNION ALL"
            f" SELECT (SELECT min({column}) FROM messages WHERE {column} > x) FROM v WHERE x IS NOT NULL)"
            " SELECT x FROM v WHERE x <> ''"
        )
        return [value for (value,) in self._db.execute(query)]

    def _transaction(self) -> sqlite3.Connection:
        self._db.execute("BEGIN")
        return self._db  # as a context manager: commits, or rolls back on an exception


def _summary(row: Sequence[Any]) -> dict[str, Any]:
    return {
        "id": row[0],
        "channel": row[1],
        "tenant": row[2],
        "to": row[3],
        "from": row[4],
        "subject": row[5],
        "received_at": _received_at(row[0]),
    }


def _received_at(message_id: str) -> str:
    """Return the moment in a UUIDv7 (RFC 9562 §5.7) as ISO 8601, UTC, to the millisecond."""
    moment = datetime.fromtimestamp((UUID(message_id).int >> 80) / 1000, tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
