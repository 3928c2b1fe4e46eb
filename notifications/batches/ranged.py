"""An object of an S3-compatible store as a file: read from where one stands, not from the beginning.

A job goes on at an offset every few seconds. To fetch 100 MB each time for the sake of the next thousand rows would
cost minutes; a request for a range (RFC 9110, section 14) costs what is read of it.
"""

from __future__ import annotations

import io
from typing import IO, Any, Final, cast

_BUFFER: Final = 256 * 1024


class _Object(io.RawIOBase):
    """``stored`` is an ``Object`` of boto3. Raises what boto3 raises."""

    def __init__(self, stored: Any, size: int) -> None:
        self._stored, self._size, self._position = stored, size, 0
        self._body: Any = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if position != self._position:
            self._hang_up()
            self._position = position
        return position

    def readinto(self, into: Any) -> int:
        if self._position >= self._size:
            return 0
        if self._body is None:
            self._body = self._stored.get(Range=f"bytes={self._position}-")["Body"]
        data = self._body.read(len(into))
        into[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        self._hang_up()
        super().close()

    def _hang_up(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None


def open_object(stored: Any) -> IO[bytes]:
    """Open an ``Object`` of boto3 to read. Raises what boto3 raises."""
    stored.load()
    return cast(IO[bytes], io.BufferedReader(_Object(stored, stored.content_length), _BUFFER))
