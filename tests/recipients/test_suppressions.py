"""Suppressions: the API, and on whom they hold."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from notification_service.lib.scope import tenant_scope
from notifications.recipients.models import Suppression, SuppressionReason
from notifications.recipients.suppressions import Addressee, NewSuppression, find_suppressed, suppress
from tests.conftest import Persona

SUPPRESSIONS = "/api/notifications/suppressions/"
ADA = {"channel": "email", "address": "Ada@Example.com"}


def found(persona: Persona, *addressees: Addressee) -> list[str]:
    with tenant_scope(persona.tenant_id):
        held = find_suppressed(addressees)
    return [str(held.get(each, "")) for each in addressees]


def test_an_address_is_suppressed_once(admin: Persona) -> None:
    first = admin.client.post(SUPPRESSIONS, ADA)
    body = first.json()
    assert first.status_code == 201, body
    assert (body["address"], body["reason"], body["category"]) == ("ada@example.com", "manual", "")
    assert (body["created_by"], body["expires_at"]) == (admin.user.email, None)
    again = admin.client.post(SUPPRESSIONS, {**ADA, "address": "ada@example.com"})
    assert (again.status_code, again.json()) == (200, body)
    assert admin.client.get(f"{SUPPRESSIONS}{body['id']}/").json() == body
    assert found(admin, Addressee("email", "ADA@example.com"), Addressee("email", "eve@example.com")) == ["manual", ""]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"channel": "pigeon"}, "channel"),
        ({"address": "nobody"}, "address"),
        ({"channel": "sms"}, "address"),
        ({"reason": "mood"}, "reason"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"category": "c" * 65}, "category"),
    ],
)
def test_what_is_refused_names_its_field(admin: Persona, changes: dict[str, Any], field: str) -> None:
    answer = admin.client.post(SUPPRESSIONS, {**ADA, **changes})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


@pytest.mark.parametrize(
    ("reason", "lanes"),
    [
        ("unsubscribed", ["", "unsubscribed", "unsubscribed"]),
        ("hard_bounce", ["hard_bounce"] * 3),
        ("dead_address", ["dead_address"] * 3),
        ("stop", ["stop"] * 3),
        ("complaint", ["complaint"] * 3),
        ("manual", ["manual"] * 3),
    ],
)
def test_only_an_unsubscription_lets_the_critical_lane_through(admin: Persona, reason: str, lanes: list[str]) -> None:
    assert admin.client.post(SUPPRESSIONS, {**ADA, "reason": reason}).status_code == 201
    assert (
        found(admin, *(Addressee("email", "ada@example.com", lane) for lane in ("critical", "normal", "bulk"))) == lanes
    )


def test_a_category_holds_for_itself_and_none_for_all(admin: Persona) -> None:
    admin.client.post(SUPPRESSIONS, {**ADA, "category": "news"})
    news, offers = (Addressee("email", "ada@example.com", category=name) for name in ("news", "offers"))
    assert found(admin, news, offers, Addressee("email", "ada@example.com")) == ["manual", "", ""]
    admin.client.post(SUPPRESSIONS, {**ADA, "reason": "complaint"})
    assert found(admin, offers, Addressee("email", "ada@example.com")) == ["complaint", "complaint"]
    assert found(admin, Addressee("sms", "ada@example.com")) == [""]


def test_what_has_expired_holds_no_more_and_can_come_back(admin: Persona) -> None:
    soon = (timezone.now() + timedelta(hours=1)).isoformat()
    made = admin.client.post(SUPPRESSIONS, {**ADA, "expires_at": soon}).json()
    assert found(admin, Addressee("email", "ada@example.com")) == ["manual"]
    with tenant_scope(admin.tenant_id):
        Suppression.objects.update(expires_at=timezone.now())
    assert found(admin, Addressee("email", "ada@example.com")) == [""]
    assert admin.client.get(SUPPRESSIONS, {"active": "true"}).json()["results"] == []
    assert len(admin.client.get(SUPPRESSIONS, {"active": "false"}).json()["results"]) == 1
    renewed = admin.client.post(SUPPRESSIONS, ADA)
    assert (renewed.status_code, renewed.json()["id"], renewed.json()["expires_at"]) == (201, made["id"], None)


def test_a_stronger_reason_wins_and_a_weaker_one_does_not(admin: Persona) -> None:
    tomorrow = timezone.now() + timedelta(days=1)
    with tenant_scope(admin.tenant_id):

        def now(reason: str, **fields: Any) -> tuple[int, str, bool]:
            new = NewSuppression("email", "ada@example.com", SuppressionReason(reason), **fields)
            changed = suppress([new], by="test")
            held = Suppression.objects.get()
            return changed, held.reason, held.expires_at is None

        assert now("unsubscribed") == (1, "unsubscribed", True)
        assert now("unsubscribed") == (0, "unsubscribed", True)
        assert now("manual", expires_at=tomorrow) == (0, "unsubscribed", True)
        assert now("hard_bounce") == (1, "hard_bounce", True)
        assert now("unsubscribed") == (0, "hard_bounce", True)


def test_one_call_with_the_same_address_twice(admin: Persona) -> None:
    with tenant_scope(admin.tenant_id):
        news = [
            NewSuppression("email", address, SuppressionReason(reason))
            for address, reason in (
                ("A@x.example", "unsubscribed"),
                ("a@x.example", "hard_bounce"),
                ("b@x.example", "stop"),
            )
        ]
        assert suppress(news, by="test") == 2
        assert suppress([], by="test") == 0
        assert {held.address: held.reason for held in Suppression.objects.all()} == {
            "a@x.example": "hard_bounce",
            "b@x.example": "stop",
        }


def test_lifting(admin: Persona) -> None:
    made = admin.client.post(SUPPRESSIONS, ADA).json()
    assert admin.client.delete(f"{SUPPRESSIONS}{made['id']}/").status_code == 204
    assert admin.client.delete(f"{SUPPRESSIONS}{made['id']}/").status_code == 404
    for category in ("", "news"):
        admin.client.post(SUPPRESSIONS, {**ADA, "category": category})
    assert list(admin.client.delete(SUPPRESSIONS).json()["errors"]) == ["channel", "address"]
    assert admin.client.delete(f"{SUPPRESSIONS}?channel=email&address=ADA@example.com").status_code == 204
    assert admin.client.get(SUPPRESSIONS).json()["results"] == []
    assert admin.client.delete(f"{SUPPRESSIONS}?channel=email&address=ada@example.com").status_code == 404
    actions = [
        row["action"] for row in admin.client.get("/api/v1/audit", {"resource_type": "suppression"}).json()["results"]
    ]
    assert actions.count("suppression.created") == actions.count("suppression.lifted") == 3


def test_filters(admin: Persona) -> None:
    admin.client.post(SUPPRESSIONS, ADA)
    admin.client.post(SUPPRESSIONS, {"channel": "sms", "address": "+353861234567", "reason": "stop"})
    for query, expected in (
        ({"channel": "sms"}, ["+353861234567"]),
        ({"reason": "manual"}, ["ada@example.com"]),
        ({"search": "EXAMPLE"}, ["ada@example.com"]),
        ({"address": "ADA@example.com"}, ["ada@example.com"]),
        ({"created_before": "2020-01-01T00:00:00Z"}, []),
    ):
        assert [row["address"] for row in admin.client.get(SUPPRESSIONS, query).json()["results"]] == expected
    for query in ({"channel": "pigeon"}, {"reason": "mood"}, {"created_after": "yesterday"}):
        assert admin.client.get(SUPPRESSIONS, query).status_code == 400


def test_another_tenant_neither_sees_them_nor_is_held(admin: Persona, stranger: Persona) -> None:
    made = admin.client.post(SUPPRESSIONS, ADA).json()
    assert stranger.client.get(SUPPRESSIONS).json()["results"] == []
    assert stranger.client.delete(f"{SUPPRESSIONS}{made['id']}/").status_code == 404
    assert stranger.client.delete(f"{SUPPRESSIONS}?channel=email&address=ada@example.com").status_code == 404
    assert found(stranger, Addressee("email", "ada@example.com")) == [""]
