"""The broken rows of a job as a file that a spreadsheet opens without running anything."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Final
from uuid import UUID

from notification_service.lib.scope import tenant_scope
from notifications.batches.models import BrokenRow

HEADER: Final = ("row", "column", "reason", "original")
_PAGE: Final = 2_000
#: What a cell must not begin with: spreadsheets take it for a formula (OWASP, "CSV Injection").
_DANGEROUS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def errors_csv(tenant_id: UUID, job_id: UUID) -> Iterator[str]:
    """Yield the file piece by piece, in the order of the rows. Opens a scope for each piece."""
    yield _lines([HEADER])
    after = UUID(int=0)
    while True:
        with tenant_scope(tenant_id):
            rows = BrokenRow.objects.filter(job_id=job_id, id__gt=after).order_by("id")
            page = list(rows.values_list("id", "row_number", "column", "reason", "original")[:_PAGE])
        if not page:
            return
        yield _lines([str(number), *map(safe_cell, texts)] for _, number, *texts in page)
        after = page[-1][0]


def safe_cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: with an apostrophe before it if it begins like one."""
    return f"'{text}" if text.lstrip(" ").startswith(_DANGEROUS) else text


def _lines(rows: Iterable[Iterable[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue()
