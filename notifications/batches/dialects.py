"""What kind of text a file is: its encoding, its delimiter and its first row, found by looking.

Encodings are told by their byte-order mark (Unicode Standard, chapter 23.8), UTF-16 without one by its zero octets;
what is no UTF-8 is taken for windows-1252, the superset of Latin-1 that the WHATWG Encoding Standard prescribes.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import IO, Final

from notification_service.lib.errors import InvalidInput

DELIMITERS: Final = (",", ";", "\t", "|")
_BLOCK: Final = 1024 * 1024
#: Octets of text in which the first row must end.
_HEAD: Final = 64 * 1024
#: What Excel writes and reads as the first line: which delimiter follows.
_SEP: Final = re.compile(r"sep=([,;\t|])\r?\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Dialect:
    """``header`` is the first row, stripped; ``offset`` the octet of the UTF-8 text at which the second row begins."""

    delimiter: str
    header: list[str]
    offset: int


def detect_encoding(file: IO[bytes]) -> str:
    """Return the name of the encoding of a whole file, as Python knows it. Reads it block by block."""
    file.seek(0)
    head = file.read(4096)
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if head.startswith(mark):
            return name
    zeros = head[::2].count(0), head[1::2].count(0)
    if max(zeros) > len(head) // 8 and min(zeros) * 4 < max(zeros):
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    return next(name for name in ("utf-8", "cp1252", "latin-1") if _decodes(file, name))


def _decodes(file: IO[bytes], encoding: str) -> bool:
    try:
        for _ in _texts(file, encoding):
            pass
    except UnicodeDecodeError:
        return False
    return True


def _texts(file: IO[bytes], encoding: str) -> Iterator[str]:
    file.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)()
    while block := file.read(_BLOCK):
        yield decoder.decode(block)
    yield decoder.decode(b"", final=True)


def write_utf8(file: IO[bytes], encoding: str, target: IO[bytes]) -> None:
    """Write a text as UTF-8 without a byte-order mark, with line feeds where an old Macintosh put carriage returns.

    Raises ``InvalidInput`` for the field ``file`` if it is not in the encoding that it began with.
    """
    only_returns: bool | None = None
    try:
        for text in _texts(file, encoding):
            if only_returns is None and text:
                only_returns = "\r" in text[:_HEAD] and "\n" not in text[:_HEAD]
            target.write((text.replace("\r", "\n") if only_returns else text).encode())
    except UnicodeError:
        raise refused(f"The file begins as {encoding.upper()} and does not go on as such.") from None


def detect_dialect(file: IO[bytes], expected: Collection[str]) -> Dialect:
    """Find delimiter and header of UTF-8 text; of several readings the one with an ``expected`` name in it wins.

    ``expected`` is in lower case. Raises ``InvalidInput`` for the field ``file``.
    """
    file.seek(0)
    raw = file.read(_HEAD)
    text = raw.decode(errors="ignore")
    if not text.strip():
        raise refused("The file is empty.")
    skipped = 0
    delimiters: Collection[str] = DELIMITERS
    if found := _SEP.match(text):
        delimiters, skipped = (found[1],), len(found[0])
    readings = [reading for delimiter in delimiters if (reading := _first_row(text, skipped, delimiter))]
    if not readings:
        raise refused("The first row can not be read: it must name the columns.")
    # max() keeps the first of equals: delimiters are in the order of how common they are.
    best = max(readings, key=lambda each: (any(name.lower() in expected for name in each.header), len(each.header)))
    if best.offset > _HEAD - 4 and len(raw) == _HEAD:
        raise refused(f"The first row is longer than {_HEAD // 1024} KB: it must name the columns.")
    return best


def _first_row(text: str, skipped: int, delimiter: str) -> Dialect | None:
    taken = skipped

    def lines() -> Iterator[str]:
        nonlocal taken
        for line in io.StringIO(text[skipped:], newline="\n"):
            taken += len(line)
            yield line

    try:
        cells = next((row for row in csv.reader(lines(), delimiter=delimiter, strict=True) if row), None)
    except csv.Error:
        return None
    if cells is None:
        return None
    return Dialect(delimiter, [cell.strip() for cell in cells], len(text[:taken].encode()))


def refused(message: str, field: str = "file") -> InvalidInput:
    """Return the error that names a field of the upload."""
    return InvalidInput.at(field, message)
