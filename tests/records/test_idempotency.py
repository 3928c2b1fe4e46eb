"""``Idempotency-Key``: a request that is repeated is carried out once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.response import Response

from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.records.models import IdempotencyKey, NotificationRecord
from notifications.records.tasks import housekeep
from tests.conftest import Persona
from tests.records.conftest import EXAMPLE, RECORDS, example


def post(persona: Persona, key: str, **changes: object) -> Response:
    return persona.client.post(RECORDS, example(**changes), headers={"Idempotency-Key": key})


def rows(persona: Persona) -> int:
    with tenant_scope(persona.tenant_id):
        return NotificationRecord.objects.count()


def test_the_second_request_gets_the_first_ones_answer(sender: Persona) -> None:
    first, second = post(sender, "order-7"), post(sender, "order-7")
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert "Idempotent-Replayed" not in first
    assert (second["Idempotent-Replayed"], second["Location"]) == ("true", first["Location"])
    assert rows(sender) == 1


def test_the_order_of_fields_does_not_matter(sender: Persona) -> None:
    post(sender, "k")
    answer = sender.client.post(RECORDS, dict(reversed(EXAMPLE.items())), headers={"Idempotency-Key": "k"})
    assert answer["Idempotent-Replayed"] == "true"


def test_a_different_request_is_refused(sender: Persona) -> None:
    post(sender, "k")
    answer = post(sender, "k", recipient="bob@example.com")
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert list(answer.json()["errors"]) == ["Idempotency-Key"]
    assert rows(sender) == 1


def test_a_refused_request_uses_no_key_up(sender: Persona) -> None:
    assert post(sender, "k", recipient="nobody").status_code == 400
    assert post(sender, "k").status_code == 201


def test_tenants_have_keys_of_their_own(
    sender: Persona, stranger: Persona, make_credential: Callable[..., object]
) -> None:
    make_credential(stranger.tenant)
    mine, theirs = post(sender, "k"), post(stranger, "k")
    assert theirs.status_code == 201
    assert "Idempotent-Replayed" not in theirs
    assert mine.json()["id"] != theirs.json()["id"]


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "null\x00"])
def test_malformed_keys(sender: Persona, key: str) -> None:
    answer = post(sender, key)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert list(answer.json()["errors"]) == ["Idempotency-Key"]


def test_a_body_too_deep_for_a_fingerprint_is_refused(sender: Persona) -> None:
    body = b'{"channel": "email", "recipient": "a@example.com", "content": {"body": "b"}, "more": %s}'
    deep = body % (b'{"a":' * 800 + b"1" + b"}" * 800)
    answer = sender.client.generic(
        "POST", RECORDS, deep, content_type="application/json", headers={"Idempotency-Key": "k"}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


def test_an_expired_key_may_be_used_again(sender: Persona) -> None:
    post(sender, "k")
    with tenant_scope(sender.tenant_id):
        key = IdempotencyKey.objects.get()
        assert key.expires_at - key.created_at >= timedelta(hours=23)
        IdempotencyKey.objects.update(expires_at=timezone.now())
    answer = post(sender, "k", recipient="bob@example.com")
    assert (answer.status_code, rows(sender)) == (201, 2)


def test_expired_keys_are_forgotten(sender: Persona) -> None:
    post(sender, "old")
    with tenant_scope(sender.tenant_id):
        IdempotencyKey.objects.update(expires_at=timezone.now())
    post(sender, "new")
    housekeep()
    with platform_scope("test"):
        assert [each.key for each in IdempotencyKey.objects.all()] == ["new"]


@pytest.mark.django_db(transaction=True)
def test_the_same_request_eight_times_at_once(sender: Persona) -> None:
    together = Barrier(8)

    def send(_: int) -> Response:
        try:
            together.wait(timeout=10)
            return post(sender, "k")
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer for answer in answers) == 1
    assert rows(sender) == 1
