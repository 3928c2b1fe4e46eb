"""Whatever program wrote a table, its rows are found again: encodings, delimiters, quotes, and from any row on."""

from __future__ import annotations

import csv
import io
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_service.lib.errors import InvalidInput
from notifications.batches.dialects import detect_dialect, detect_encoding, write_utf8
from notifications.batches.reading import MAX_ROW_BYTES, Malformed, RowReader

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1")
#: What all of the encodings can write.
LETTERS = st.characters(min_codepoint=32, max_codepoint=255, exclude_categories=["Cc"])
CELLS = st.text(st.one_of(LETTERS, st.sampled_from('",;\t|\n')), max_size=12)
TABLES = st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=20)


def plain(data: bytes) -> io.BytesIO:
    """Return a file as it is stored."""
    target = io.BytesIO()
    write_utf8(io.BytesIO(data), detect_encoding(io.BytesIO(data)), target)
    return target


def read(data: bytes, expected: tuple[str, ...] = ("recipient",)) -> tuple[list[str], list[list[str] | Malformed]]:
    """Return header and rows of a file."""
    file = plain(data)
    dialect = detect_dialect(file, expected)
    return dialect.header, list(RowReader(file, delimiter=dialect.delimiter, offset=dialect.offset))


def written(rows: list[list[str]], delimiter: str, end: str, quoting: int = csv.QUOTE_MINIMAL) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(rows)
    return out.getvalue()


@given(
    rows=TABLES,
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(ENCODINGS),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_was_written_is_read(rows: list[list[str]], delimiter: str, end: str, encoding: str, quoting: int) -> None:
    header = ["recipient", "Straße", "prénom"]
    text = written([header, *rows], delimiter, end, quoting)
    found, read_rows = read(text.encode(encoding))
    assert found == header
    assert read_rows == rows


@given(rows=TABLES, taken=st.integers(0, 20), delimiter=st.sampled_from(",;\t"))
def test_reading_goes_on_from_any_row(rows: list[list[str]], taken: int, delimiter: str) -> None:
    file = io.BytesIO(written(rows, delimiter, "\r\n").encode())
    first = RowReader(file, delimiter=delimiter)
    before = list(islice(first, taken))
    again = RowReader(io.BytesIO(file.getvalue()), delimiter=delimiter, offset=first.offset, number=first.number)
    assert [*before, *again] == rows
    assert again.number == len(rows)


@given(st.binary(max_size=400))
def test_nothing_that_is_uploaded_breaks_the_reader(data: bytes) -> None:
    refusals: list[str] = []
    rows: list[list[str] | Malformed] = []
    try:
        _, rows = read(data)
    except InvalidInput as error:
        refusals = list(error.errors)
    assert refusals in ([], ["file"])
    assert all(isinstance(row, list | Malformed) for row in rows)


def test_a_mark_in_the_text_is_no_part_of_the_name() -> None:
    assert read("\ufeffrecipient,name\na@b.example,Ada\n".encode())[0] == ["recipient", "name"]


def test_excels_own_line_says_the_delimiter() -> None:
    header, rows = read(b"sep=;\r\nrecipient;name, first\r\na@b.example;x\r\n")
    assert (header, rows) == (["recipient", "name, first"], [["a@b.example", "x"]])


def test_the_delimiter_is_the_one_under_which_the_address_is_found() -> None:
    assert read(b"recipient;name, given, middle\na;b\n")[0] == ["recipient", "name, given, middle"]
    assert read(b"recipient\na@b.example\n")[1] == [["a@b.example"]]


def test_old_macintosh_lines() -> None:
    assert read(b"recipient,name\ra,b\rc,d\r")[1] == [["a", "b"], ["c", "d"]]


def test_empty_rows_keep_their_number() -> None:
    reader = RowReader(io.BytesIO(b"a\n\n\nb\n"), delimiter=",")
    assert [(row, reader.number) for row in reader] == [(["a"], 1), (["b"], 4)]


def test_a_quote_that_is_not_closed_costs_its_own_line() -> None:
    lines = ["good,1", 'bad,"open', *(f"good,{n}" for n in range(500)), 'also bad,"x" y', "good,end"]
    rows = list(RowReader(io.BytesIO("\n".join(lines).encode()), delimiter=","))
    broken = [(index, row.original) for index, row in enumerate(rows) if isinstance(row, Malformed)]
    assert broken == [(1, 'bad,"open'), (502, 'also bad,"x" y')]
    assert len(rows) == len(lines)


def test_a_quote_that_is_not_closed_at_the_end() -> None:
    rows = list(RowReader(io.BytesIO(b'a,b\n"open,c\nd,e'), delimiter=","))
    assert [row if isinstance(row, list) else row.reason for row in rows] == [
        ["a", "b"],
        "A quotation mark is opened and not closed.",
        ["d", "e"],
    ]


def test_a_line_without_end_is_one_broken_row() -> None:
    data = b"a,b\n" + b"x" * (MAX_ROW_BYTES * 3) + b"\nc,d\n"
    reader = RowReader(io.BytesIO(data), delimiter=",")
    rows = list(reader)
    assert [type(row) for row in rows] == [list, Malformed, list]
    assert reader.offset == len(data)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_told_by_its_zeros(encoding: str) -> None:
    text = "recipient,name\na@b.example,Žofie\n"
    assert detect_encoding(io.BytesIO(text.encode(encoding))) == encoding
    assert read(text.encode(encoding))[1] == [["a@b.example", "Žofie"]]
