"""Suppressed recipients at the door, and the way out in what is sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from email import message_from_bytes, policy
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from notifications.records.engine import Engine
from notifications.records.tasks import sweep
from tests.conftest import Persona
from tests.records.conftest import RECORDS, attempts_of, example, load
from tests.sandbox.conftest import Sandbox

SUPPRESSIONS = "/api/notifications/suppressions/"


def bar(persona: Persona, reason: str = "hard_bounce", **fields: Any) -> None:
    barred = {"channel": "email", "address": "ada@example.com", "reason": reason, **fields}
    assert persona.client.post(SUPPRESSIONS, barred).status_code in (200, 201)


def test_a_suppressed_record_is_accepted_and_has_its_end(sender: Persona) -> None:
    bar(sender)
    answer = sender.client.post(RECORDS, example(recipient="ADA@example.com"))
    body = answer.json()
    assert (answer.status_code, body["status"], body["failure_reason"]) == (201, "suppressed", "suppressed")
    assert (body["provider_response"], body["next_attempt_at"], body["attempt_count"]) == ("hard_bounce", None, 0)
    timeline = sender.client.get(f"{RECORDS}{body['id']}/timeline/").json()["timeline"]
    assert [(step["event"], step["status"]) for step in timeline] == [("accepted", "pending"), ("ended", "suppressed")]


@pytest.mark.parametrize(
    ("reason", "lane", "status"),
    [
        ("unsubscribed", "critical", "pending"),
        ("unsubscribed", "normal", "suppressed"),
        ("unsubscribed", "bulk", "suppressed"),
        ("hard_bounce", "critical", "suppressed"),
        ("stop", "critical", "suppressed"),
        ("dead_address", "critical", "suppressed"),
    ],
)
def test_the_critical_lane_passes_over_unsubscriptions_only(
    sender: Persona, reason: str, lane: str, status: str
) -> None:
    bar(sender, reason)
    assert sender.client.post(RECORDS, example(lane=lane)).json()["status"] == status


def test_a_category_is_that_of_the_metadata(sender: Persona) -> None:
    bar(sender, category="news")
    for metadata, status in (
        ({"category": "news"}, "suppressed"),
        ({"category": ["news"]}, "pending"),
        ({}, "pending"),
    ):
        assert sender.client.post(RECORDS, example(metadata=metadata)).json()["status"] == status


@pytest.mark.django_db(transaction=True)
def test_it_is_never_sent(posted: Callable[..., UUID], admin: Persona, engine: Engine, mail_server: Sandbox) -> None:
    bar(admin)
    held, free = posted(), posted(recipient="bob@example.com")
    engine.drain(admin.tenant_id, "normal")
    sweep()
    assert (load(admin.tenant, held).status, attempts_of(admin.tenant, held)) == ("suppressed", [])
    assert load(admin.tenant, free).status == "success"
    assert len(mail_server.messages()) == 1


@pytest.mark.django_db(transaction=True)
def test_bulk_mail_has_a_way_out_that_works(
    posted: Callable[..., UUID], admin: Persona, engine: Engine, mail_server: Sandbox
) -> None:
    posted(lane="bulk")
    posted(lane="normal")
    for lane in ("bulk", "normal"):
        engine.drain(admin.tenant_id, lane)
    mails = [
        message_from_bytes(mail_server.request(f"/api/messages/{caught['id']}/raw").body, policy=policy.default)
        for caught in mail_server.messages()
    ]
    (bulk,) = [mail for mail in mails if mail["List-Unsubscribe"]]
    assert len(mails) == 2
    assert bulk["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = re.fullmatch(r"<https?://[^/]+(/u/\S+)>", bulk["List-Unsubscribe"])
    assert link
    click = Client().post(link[1], "List-Unsubscribe=One-Click", content_type="application/x-www-form-urlencoded")
    assert click.status_code == 200
    statuses = [load(admin.tenant, posted(lane=lane)).status for lane in ("bulk", "normal", "critical")]
    assert statuses == ["suppressed", "suppressed", "pending"]
