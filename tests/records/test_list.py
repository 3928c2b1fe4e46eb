"""``GET /api/notifications/records/``: filters, search, order, pages and cursors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import pytest
from rest_framework.test import APIClient

from notification_service.lib.scope import tenant_scope
from notifications.records.intake import NewRecord, accept_many
from notifications.records.models import NotificationRecord
from tenants.callers import system_caller
from tests.conftest import Persona
from tests.records.conftest import RECORDS

START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def rows(sender: Persona) -> list[NotificationRecord]:
    """Seven records: two failed, two retrying, three pending; an hour apart from each other."""
    news = [
        NewRecord("email", f"person{n}@{'acme' if n % 2 else 'globex'}.example", {"subject": "Hi"}, lane=lane)
        for n, lane in enumerate(["normal", "normal", "bulk", "bulk", "critical", "normal", "normal"])
    ]
    with tenant_scope(sender.tenant_id):
        made = accept_many(system_caller(sender.tenant_id, "test"), news)
        for hour, record in enumerate(made):
            record.status = ["failed", "failed", "retrying", "retrying", "pending", "pending", "pending"][hour]
            record.failure_reason = ["provider_error", "expired", "network_error", "rate_limited", "", "", ""][hour]
            record.created_at = START + timedelta(hours=hour)
            record.save()
    return made


def listed(client: APIClient, **query: Any) -> list[str]:
    answer = client.get(RECORDS, query)
    assert answer.status_code == 200, answer.json()
    return [row["id"] for row in answer.json()["results"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [6, 5, 4, 3, 2, 1, 0]),
        ({"status": "failed"}, [1, 0]),
        ({"status": "failed, RETRYING"}, [3, 2, 1, 0]),
        ({"status": "success"}, []),
        ({"failure_reason": "expired"}, [1]),
        ({"failure_reason": "expired,rate_limited"}, [3, 1]),
        ({"lane": "bulk"}, [3, 2]),
        ({"channel": "email", "lane": "critical"}, [4]),
        ({"mode": "test"}, []),
        ({"mode": "live", "delivery_state": "none", "status": "failed"}, [1, 0]),
        ({"recipient": "PERSON3@acme.example"}, [3]),
        ({"recipient": "person3"}, []),
        ({"search": "globex"}, [6, 4, 2, 0]),
        ({"search": "Person1"}, [1]),
        ({"search": "100%"}, []),
        ({"created_after": "2026-03-01T05:00:00Z"}, [6, 5]),
        ({"created_before": "2026-03-01T02:00:00+01:00"}, [0]),
        ({"created_after": "2026-03-01T01:00:00Z", "created_before": "2026-03-01T03:00:00Z"}, [2, 1]),
        ({"sent_after": "2026-03-01T01:00:00Z"}, []),
        ({"ordering": "created_at"}, [0, 1, 2, 3, 4, 5, 6]),
        ({"ordering": "-recipient"}, [6, 5, 4, 3, 2, 1, 0]),
        ({"ordering": "status"}, [1, 0, 6, 5, 4, 3, 2]),
    ],
)
def test_filters_and_order(
    sender: Persona, rows: list[NotificationRecord], query: dict[str, str], expected: list[int]
) -> None:
    assert listed(sender.client, **query) == [str(rows[n].id) for n in expected]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "lost"),
        ("status", "failed,lost"),
        ("channel", "pigeon"),
        ("failure_reason", "bad_luck"),
        ("lane", "express"),
        ("mode", "dead"),
        ("delivery_state", "eaten"),
        ("created_after", "yesterday"),
        ("sent_before", "2026-13-01"),
        ("ordering", "content"),
        ("search", "a\x00b"),
        ("recipient", "a\x00b"),
    ],
)
def test_a_filter_that_makes_no_sense(sender: Persona, name: str, value: str) -> None:
    answer = sender.client.get(RECORDS, {name: value})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert list(answer.json()["errors"]) == [name]


def pages(client: APIClient, **query: Any) -> Iterator[list[str]]:
    """Follow ``next`` to the end."""
    answer = client.get(RECORDS, query)
    while True:
        assert answer.status_code == 200, answer.json()
        yield [row["id"] for row in answer.json()["results"]]
        if not (link := answer.json()["next"]):
            return
        answer = client.get(link)


@pytest.mark.parametrize(
    "query",
    [
        {"page": "1"},
        {"page": "1", "ordering": "status"},
        {"page": "1", "ordering": "-status"},
        {"page": "1", "ordering": "sent_at"},
        {"cursor": ""},
        {"cursor": "", "ordering": "recipient"},
    ],
)
def test_a_walk_sees_every_row_exactly_once(
    sender: Persona, rows: list[NotificationRecord], query: dict[str, str]
) -> None:
    walked = list(pages(sender.client, page_size="2", **query))
    assert [len(page) for page in walked] == [2, 2, 2, 1]
    assert sorted(chain.from_iterable(walked)) == [str(row.id) for row in rows]


def test_a_cursor_is_not_disturbed_by_what_comes_in(sender: Persona, rows: list[NotificationRecord]) -> None:
    walk = pages(sender.client, page_size="3", cursor="")
    seen = next(walk)
    with tenant_scope(sender.tenant_id):
        accept_many(system_caller(sender.tenant_id, "test"), [NewRecord("email", "new@acme.example", {"body": "b"})])
    for page in walk:
        seen += page
    assert seen == [str(row.id) for row in reversed(rows)]


def test_a_page_says_how_many_there_are(sender: Persona, rows: list[NotificationRecord]) -> None:
    body = sender.client.get(RECORDS, {"page": "2", "page_size": "3", "status": "failed,pending"}).json()
    assert (body["count"], body["next"], len(body["results"])) == (5, None, 2)
    assert "page_size=3" in body["previous"]


@pytest.mark.parametrize("query", [{"page": "0"}, {"page": "99"}, {"page": "x"}, {"cursor": "x"}])
def test_a_page_that_is_none(sender: Persona, rows: list[NotificationRecord], query: dict[str, str]) -> None:
    answer = sender.client.get(RECORDS, query)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_page_size_is_bounded(sender: Persona, rows: list[NotificationRecord]) -> None:
    for size in ("0", "-1", "x", "100000"):
        assert len(listed(sender.client, page_size=size)) == 7


def test_nobody_sees_another_tenants_records(
    stranger: Persona, rows: list[NotificationRecord], make_credential: Callable[..., object]
) -> None:
    assert listed(stranger.client) == []
    assert listed(stranger.client, recipient=rows[3].recipient) == []
    assert stranger.client.get(RECORDS, {"cursor": ""}).json()["results"] == []
