"""Workbooks of Excel: read like tables, guarded against bombs."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from notification_service.lib.scope import tenant_scope
from notifications.batches import spreadsheets
from notifications.records.models import NotificationRecord
from tests.batches.conftest import upload, work
from tests.conftest import Persona

HEADER = ["recipient", "name", "code"]


def workbook(rows: list[list[Any]], *, hidden_first: bool = False) -> bytes:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    if hidden_first:
        sheet.append(["nothing", "to", "see"])
        sheet.sheet_state = "hidden"
        sheet = book.create_sheet("People")
    for row in rows:
        sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def test_a_workbook_of_an_old_excel_is_told_from_a_table(sender: Persona) -> None:
    answer = upload(sender.client, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), name="people.xls")
    assert answer.status_code == 400
    assert answer.json()["errors"]["file"] == ["This is a workbook of an old Excel (.xls); save it as .xlsx or CSV."]


def test_a_workbook_whose_columns_leave_a_placeholder_empty_sends_nothing(run: Callable[..., dict[str, Any]]) -> None:
    job = run(workbook([["recipient", "code"], ["ada@example.com", 1]]), name="people.xlsx")
    assert (job["status"], "placeholder 'name'" in job["detail"]) == ("failed", True)


def test_a_workbook_is_read_like_a_table(
    run: Callable[..., dict[str, Any]], sender: Persona, uploads_directory: Path
) -> None:
    rows = [
        HEADER,
        ["ada@example.com", "Ada, Countess", 17],
        [None, None, None],
        ["grace@example.com", 'Grace "Amazing"\nHopper', 1.5],
        ["nobody", "x", True],
        ["alan@example.com", datetime(2026, 11, 20), date(2026, 1, 2)],  # noqa: DTZ001 - workbooks know no zones
    ]
    job = run(workbook(rows, hidden_first=True), name="people.xlsx")
    assert (job["status"], job["encoding"], job["header"]) == ("completed", "xlsx", HEADER), job
    assert (job["progress"]["recorded"], job["progress"]["broken"]) == (3, 1)
    with tenant_scope(sender.tenant_id):
        contexts = list(NotificationRecord.objects.order_by("id").values_list("context", flat=True))
    assert contexts == [
        {"name": "Ada, Countess", "code": "17"},
        {"name": 'Grace "Amazing"\nHopper', "code": "1.5"},
        {"name": "2026-11-20", "code": "2026-01-02"},
    ]
    errors = b"".join(sender.client.get(f"/api/v1/services/notifications/bulk/{job['id']}/errors.csv"))
    assert b"5,recipient," in errors, "as the sheet numbers it"
    assert [path.suffix for path in uploads_directory.rglob("*") if path.is_file()] == [".csv"], "the workbook is gone"


def test_a_workbook_without_addresses_fails_and_says_so(sender: Persona) -> None:
    job = work(sender, upload(sender.client, workbook([["a", "b"], ["c", "d"]]), name="x.xlsx").json()["id"])
    assert job["status"] == "failed"
    assert "No column has the address" in job["detail"]


def bomb(name: str, size: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
        with archive.open(name, "w") as part:
            for _ in range(size // 1_000_000):
                part.write(b"\0" * 1_000_000)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (bomb("xl/worksheets/sheet1.xml", 320_000_000), "unpacks to too much"),
        (bomb("xl/sharedStrings.xml", 70_000_000), "unpacks to too much"),
        (bomb("xl/media/a.bin", 30_000_000), "unpacks to too much"),
        (b"PK\x03\x04" + b"x" * 100, "can not be read"),
    ],
    ids=["sheet", "texts", "ratio", "no archive"],
)
def test_bombs_are_refused(sender: Persona, data: bytes, says: str) -> None:
    answer = upload(sender.client, data, name="x.xlsx")
    assert answer.status_code == 400
    assert says in answer.json()["errors"]["file"][0]


def test_an_archive_that_is_no_workbook_is_refused(sender: Persona) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("people.csv", "recipient\n")
    assert "no Excel workbook" in upload(sender.client, out.getvalue()).json()["errors"]["file"][0]


def test_a_broken_workbook_fails_and_says_so(sender: Persona) -> None:
    whole = workbook([HEADER])
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as source, zipfile.ZipFile(out, "w") as target:
        for part in source.infolist():
            is_sheet = part.filename.startswith("xl/worksheets/")
            target.writestr(part, b"<worksheet><sheetData><row><c" if is_sheet else source.read(part))
    job = work(sender, upload(sender.client, out.getvalue(), name="x.xlsx").json()["id"])
    assert (job["status"], job["detail"]) == ("failed", "file: The workbook can not be read; save the sheet as CSV.")


def test_entities_are_not_expanded(sender: Persona) -> None:
    """A billion laughs: the parser that openpyxl uses refuses or bounds it (expat since 2.4.1)."""
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    sheet = '<worksheet><sheetData><row><c t="str"><v>&a11;</v></c></row></sheetData></worksheet>'
    evil = f'<!DOCTYPE x [<!ENTITY a0 "ha">{entities}]>{sheet}'
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook([HEADER]))) as source, zipfile.ZipFile(out, "w") as target:
        for part in source.infolist():
            is_sheet = part.filename.startswith("xl/worksheets/")
            target.writestr(part, evil if is_sheet else source.read(part))
    job = work(sender, upload(sender.client, out.getvalue(), name="x.xlsx").json()["id"])
    assert job["status"] == "failed"


def test_signs_of_life_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheets, "_BREATH", 2)
    signs: list[int] = []
    target = io.BytesIO()
    data = workbook([HEADER, *[[f"p{n}@example.com", "x", n] for n in range(5)]])
    spreadsheets.write_csv(io.BytesIO(data), target, lambda: signs.append(1))
    assert len(signs) == 3
    assert target.getvalue().count(b"\n") == 6
