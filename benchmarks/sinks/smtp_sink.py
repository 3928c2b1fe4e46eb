"""A mail server that takes everything and counts ``X-Notification-ID``.

It speaks SMTP (RFC 5321) with PIPELINING (RFC 2920) and CHUNKING (RFC 3030), as Postfix and Exim do.

A message of 3 KB costs it about five microseconds, so that it is never what is measured.
"""

from __future__ import annotations

import asyncio
import re
from typing import cast

from benchmarks.sinks.ledger import Ledger, serve

_ID = re.compile(rb"^X-Notification-ID: *([!-~]+)", re.IGNORECASE | re.MULTILINE)
_EHLO = (
    b"250-sink\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-AUTH PLAIN LOGIN\r\n"
    b"250 SIZE 33554432\r\n"
)
_ANSWERS = {
    b"EHLO": _EHLO,
    b"HELO": b"250 sink\r\n",
    b"MAIL": b"250 2.1.0 ok\r\n",
    b"RCPT": b"250 2.1.5 ok\r\n",
    b"RSET": b"250 2.0.0 ok\r\n",
    b"NOOP": b"250 2.0.0 ok\r\n",
    b"AUTH": b"235 2.7.0 ok\r\n",
    b"DATA": b"354 go on\r\n",
}
_TAKEN, _LATER, _NEVER = b"250 2.0.0 taken\r\n", b"451 4.3.0 try again\r\n", b"554 5.7.1 refused\r\n"
_END = b"\r\n.\r\n"


class SmtpSink(asyncio.Protocol):
    """One connection."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._buffer = b""
        self._in_data = False
        self._waiting = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._ledger.transports.add(self._transport)
        self._transport.write(b"220 sink ESMTP\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self._ledger.transports.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if not self._waiting:
            self._proceed(b"")

    def _proceed(self, first: bytes) -> None:
        """Answer what is complete; stop at a message whose answer has to wait. ``first`` is that answer, later."""
        answers, position, buffer = [first], 0, self._buffer
        while not self._waiting:
            if self._in_data:
                end = buffer.find(_END, position)
                if end < 0:
                    break
                answer = self._message(buffer[position : end + 2])
                if answer is None:
                    return
                answers.append(answer)
                position, self._in_data = end + len(_END), False
                continue
            end = buffer.find(b"\r\n", position)
            if end < 0:
                break
            verb = buffer[position : position + 4].upper()
            if verb == b"BDAT":  # always the last chunk: "BDAT 3210 LAST"
                start = end + 2
                end = start + int(buffer[position + 5 : end].split()[0])
                if end > len(buffer):
                    break
                answer = self._message(buffer[start:end])
                if answer is None:
                    return
                answers.append(answer)
                position = end
                continue
            position = end + 2
            if verb == b"QUIT":
                self._transport.write(b"".join(answers) + b"221 2.0.0 bye\r\n")
                self._transport.close()
                return
            self._in_data = verb == b"DATA"
            answers.append(_ANSWERS.get(verb, b"502 5.5.1 unknown\r\n"))
        self._buffer = buffer[position:]
        if text := b"".join(answers):
            self._transport.write(text)

    def _message(self, message: bytes) -> bytes | None:
        """Return the answer to a message: nothing yet, or None if the connection is gone."""
        ledger, fault = self._ledger, self._ledger.what_to_do()
        if fault in ("4xx", "5xx"):
            ledger.refused += 1
            return _LATER if fault == "4xx" else _NEVER
        if fault == "hang":
            self._waiting = True
            return b""
        found = _ID.search(message)
        ledger.take(found.group(1) if found else b"none")
        if fault == "drop":
            self._transport.abort()
            return None
        if ledger.delay:
            self._waiting = True
            asyncio.get_running_loop().call_later(ledger.delay, self._go_on)
            return b""
        return _TAKEN

    def _go_on(self) -> None:
        self._waiting = False
        if not self._transport.is_closing():
            self._proceed(_TAKEN)


if __name__ == "__main__":
    serve(SmtpSink)
