"""Workbooks of Excel (ECMA-376, ``.xlsx``): guarded against bombs, and made a table of, row by row.

A workbook is a ZIP archive of XML. What it says of its own sizes is checked before anything is unpacked, and what is
unpacked is bounded by what was said: ``zipfile`` stops at the stated size.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from typing import IO, Any, Final

from django.conf import settings
from openpyxl import load_workbook

from notifications.batches.columns import MAX_COLUMNS
from notifications.batches.dialects import refused

_MAGIC: Final = b"PK\x03\x04"
#: How a workbook of Excel 97 to 2003 begins ([MS-CFB], section 2.2).
_OLD_MAGIC: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
#: Parts of an archive, octets of all of them unpacked, and of the table of texts, which is held in memory.
MAX_PARTS: Final = 2_000
MAX_UNPACKED: Final = 300 * 1024 * 1024
MAX_TEXTS: Final = 60 * 1024 * 1024
#: Unpacked octets for each packed one; a sheet of ordinary values has some ten.
MAX_RATIO: Final = 200
#: Octets of a workbook.
MAX_WORKBOOK: Final = 30 * 1024 * 1024
#: Rows between two signs of life.
_BREATH: Final = 2_000


def is_workbook(file: IO[bytes]) -> bool:
    """Whether a file begins like a ZIP archive. Raises ``InvalidInput`` for a workbook of an old Excel."""
    file.seek(0)
    head = file.read(len(_OLD_MAGIC))
    if head == _OLD_MAGIC:
        raise refused("This is a workbook of an old Excel (.xls); save it as .xlsx or CSV.")
    return head.startswith(_MAGIC)


def check_workbook(file: IO[bytes]) -> None:
    """Look at the archive's table of contents. Raises ``InvalidInput`` for the field ``file``."""
    size = file.seek(0, io.SEEK_END)
    if size > MAX_WORKBOOK:
        raise refused(f"A workbook has at most {MAX_WORKBOOK // 1024**2} MB; save it as CSV.")
    try:
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError):
        raise refused("This is a ZIP archive that can not be read.") from None
    if "xl/workbook.xml" not in {part.filename for part in parts}:
        raise refused("This is a ZIP archive and no Excel workbook (.xlsx).")
    unpacked = sum(part.file_size for part in parts)
    texts = sum(part.file_size for part in parts if part.filename == "xl/sharedStrings.xml")
    bomb = any(part.file_size > MAX_RATIO * max(part.compress_size, 1024) for part in parts)
    if len(parts) > MAX_PARTS or unpacked > MAX_UNPACKED or texts > MAX_TEXTS or bomb:
        raise refused("The workbook unpacks to too much; save the sheet as CSV.")


def write_csv(file: IO[bytes], target: IO[bytes], alive: Callable[[], None]) -> None:
    """Write the first visible sheet as comma-separated UTF-8; ``alive`` is called now and then.

    Formulas become their last result. Raises ``InvalidInput`` for the field ``file``.
    """
    text = io.TextIOWrapper(target, encoding="utf-8", newline="", write_through=True)
    try:
        _write_rows(csv.writer(text, lineterminator="\n"), file, alive)
    finally:
        text.detach()


def _write_rows(writer: Any, file: IO[bytes], alive: Callable[[], None]) -> None:
    try:
        for number, cells in enumerate(_rows(file), start=1):
            if number > settings.BULK_MAX_ROWS + 1:
                raise refused(f"The file has more than {settings.BULK_MAX_ROWS:,} rows.")
            # An empty row keeps its place, so that row numbers stay those of the sheet.
            writer.writerow(cells)
            if number % _BREATH == 0:
                alive()
    except (zipfile.BadZipFile, KeyError, ValueError, SyntaxError, EOFError, IndexError, TypeError, AttributeError):
        # What openpyxl and the XML parser (whose ParseError is a SyntaxError) raise for what is none of theirs.
        raise refused("The workbook can not be read; save the sheet as CSV.") from None


def _rows(file: IO[bytes]) -> Iterator[list[str]]:
    book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
    try:
        sheet = next((each for each in book.worksheets if each.sheet_state == "visible"), None)
        if sheet is None:
            raise refused("The workbook has no sheet.")
        sheet.reset_dimensions()  # what the file says of its size may be wrong
        for values in sheet.iter_rows(values_only=True, max_col=MAX_COLUMNS + 1):
            cells = [_text(value) for value in values]
            while cells and not cells[-1]:
                cells.pop()
            yield cells
    finally:
        book.close()


def _text(value: Any) -> str:
    """Return a cell as people see it, roughly: whole numbers without a point, dates as ISO 8601."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value).replace("\x00", "")
