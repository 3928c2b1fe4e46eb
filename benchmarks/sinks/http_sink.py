"""Twilio's Messages endpoint, playing along: takes every message, counts by the number that it is for.

https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import cast

from benchmarks.sinks.ledger import Ledger, serve

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TO = re.compile(rb"(?:^|&)To=(?:%2B|\+)?(\d+)")
_REST = json.dumps(
    {
        "account_sid": "AC" + "0" * 32,
        "api_version": "2010-04-01",
        "body": "",
        "date_created": "Fri, 20 Nov 2026 12:00:00 +0000",
        "date_sent": None,
        "date_updated": "Fri, 20 Nov 2026 12:00:00 +0000",
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": "+15005550006",
        "messaging_service_sid": None,
        "num_media": "0",
        "num_segments": "1",
        "price": None,
        "price_unit": None,
        "status": "queued",
        "subresource_uris": {},
        "uri": "/2010-04-01/Accounts/AC/Messages/SM.json",
    }
)[1:].encode()


def _response(status: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


_LATER = _response(b"503 Service Unavailable", b'{"code": 20503, "message": "Service unavailable", "status": 503}')
_NEVER = _response(b"400 Bad Request", b'{"code": 21211, "message": "Invalid To number", "status": 400}')


class HttpSink(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._ledger.transports.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ledger.transports.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (head := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._buffer, 0, head)
            end = head + 4 + (int(length.group(1)) if length else 0)
            if len(self._buffer) < end:
                return
            body, self._buffer = self._buffer[head + 4 : end], self._buffer[end:]
            self._message(body)

    def _message(self, body: bytes) -> None:
        ledger, fault = self._ledger, self._ledger.what_to_do()
        if fault in ("4xx", "5xx"):  # as for mail: come back, or never
            ledger.refused += 1
            self._transport.write(_LATER if fault == "4xx" else _NEVER)
            return
        if fault == "hang":
            return
        found = _TO.search(body)
        number = found.group(1) if found else b"none"
        ledger.take(number)
        if fault == "drop":
            self._transport.abort()
            return
        answer = _response(b"201 Created", b'{"sid": "SM%032d", "to": "+%s", ' % (ledger.messages, number) + _REST)
        if ledger.delay:
            asyncio.get_running_loop().call_later(ledger.delay, self._transport.write, answer)
        else:
            self._transport.write(answer)


if __name__ == "__main__":
    serve(HttpSink)
