"""Rows of delimited text (RFC 4180, and what spreadsheets make of it), read from any byte at which a row begins.

Memory is bounded by one row. A row that makes no sense costs itself: reading goes on with the next line.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Final

#: Octets and lines of one row; beyond them a quote was not closed, or it is no table.
MAX_ROW_BYTES: Final = 256 * 1024
MAX_ROW_LINES: Final = 200
#: Characters of a broken row that are kept to be shown.
SHOWN: Final = 2_000


@dataclass(frozen=True, slots=True)
class Malformed:
    """A row that is none. ``original`` is its first line, cut after ``SHOWN`` characters."""

    reason: str
    original: str


class _Refused(Exception):
    """Raised while the lines of a row are collected: there are too many of them, or it has something in it."""


class RowReader:
    """Iterates over the rows of a file of UTF-8 without a byte-order mark: lists of cells, or ``Malformed``.

    ``offset`` is the byte after the row that came last; ``number`` how many rows there were since the beginning of the
    file, empty ones included, as long as each reader is told where the last one stopped.
    """

    def __init__(self, file: IO[bytes], *, delimiter: str, offset: int = 0, number: int = 0) -> None:
        self._file, self._delimiter = file, delimiter
        self.offset, self.number = offset, number
        self._restart(offset)

    def __iter__(self) -> Iterator[list[str] | Malformed]:
        """Yield rows; empty ones are counted and left out."""
        while True:
            start = self.offset
            self._lines = 0
            try:
                cells = next(self._rows)
            except StopIteration:
                return
            except (csv.Error, _Refused) as error:
                self.number += 1
                shown = self._first.decode(errors="replace").replace("\0", "\ufffd").rstrip("\r\n")
                yield Malformed(_explained(error), shown[:SHOWN])
                self._restart(start + self._first_length)
                continue
            self.number += 1
            if cells:
                yield cells

    def _restart(self, offset: int) -> None:
        self._file.seek(offset)
        self.offset = offset
        self._rows = csv.reader(self._read_lines(self._file.readline), delimiter=self._delimiter, strict=True)

    def _read_lines(self, readline: Callable[[int], bytes]) -> Iterator[str]:
        """Yield lines as they are asked for, which is when a row needs them: the offset is exact after each row."""
        row_start = self.offset
        while line := readline(MAX_ROW_BYTES):
            if not self._lines:
                self._first, self._first_length, row_start = line, len(line), self.offset
            self._lines += 1
            self.offset += len(line)
            if len(line) == MAX_ROW_BYTES and not line.endswith(b"\n"):
                if self._lines == 1:
                    self._first_length += _rest_of_line(readline)
                raise _Refused(f"The row is longer than {MAX_ROW_BYTES // 1024} KB.")
            if self._lines > MAX_ROW_LINES or self.offset - row_start > MAX_ROW_BYTES:
                raise _Refused("A quotation mark is opened and not closed.")
            if b"\0" in line:
                raise _Refused("The row has a null character in it.")
            yield line.decode()


def _rest_of_line(readline: Callable[[int], bytes]) -> int:
    skipped = 0
    while piece := readline(MAX_ROW_BYTES):
        skipped += len(piece)
        if piece.endswith(b"\n"):
            break
    return skipped


def _explained(error: Exception) -> str:
    text = str(error)
    if isinstance(error, _Refused):
        return text
    if "unexpected end of data" in text:
        return "A quotation mark is opened and not closed."
    if "expected after" in text:
        return "Something stands after a closing quotation mark; a quotation mark inside a value is written twice."
    if "field larger" in text:
        return "A value is too long."
    return "The row can not be read: it has a line break that is not in quotation marks."
