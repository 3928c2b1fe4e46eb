"""``/api/v1/users/sync``: people by the thousand."""

from __future__ import annotations

from typing import Any

import pytest

from notification_service.lib.scope import tenant_scope
from notifications.recipients.models import Recipient
from tests.conftest import Persona

USERS = "/api/v1/users"
SYNC = "/api/v1/users/sync"


def person(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "external_user_id": f"crm-{number}",
        "email": f"user{number}@example.com",
        "name": f"User {number}",
        **fields,
    }


def sync(persona: Persona, *users: Any, **more: Any) -> dict[str, Any]:
    answer = persona.client.post(SYNC, {"users": users, **more})
    assert answer.status_code == 200, answer.json()
    found: dict[str, Any] = answer.json()
    return found


def counts(report: dict[str, Any]) -> tuple[int, ...]:
    return tuple(report[name] for name in ("created", "updated", "unchanged", "deleted"))


def stored(persona: Persona) -> dict[str, Recipient]:
    with tenant_scope(persona.tenant_id):
        return {row.external_user_id: row for row in Recipient.objects.filter(deleted_at=None)}


def test_create_change_and_leave(admin: Persona) -> None:
    full = person(
        2, phone="+353861234567", roles=["b", "a"], metadata={"x": [1]}, locale="de", time_zone="Europe/Berlin"
    )
    assert counts(sync(admin, person(1), full)) == (2, 0, 0, 0)
    before = stored(admin)
    assert (before["crm-2"].roles, before["crm-2"].metadata, before["crm-2"].status) == (
        ["a", "b"],
        {"x": [1]},
        "active",
    )
    report = sync(admin, person(1), {"external_user_id": "crm-2", "name": "New", "phone": None}, person(3))
    assert (counts(report), report["errors"]) == ((1, 1, 1, 0), [])
    after = stored(admin)
    assert (after["crm-2"].name, after["crm-2"].phone, after["crm-2"].email) == ("New", "", "user2@example.com")
    assert after["crm-2"].id == before["crm-2"].id
    assert after["crm-1"].updated_at == before["crm-1"].updated_at
    roles = admin.client.get("/api/v1/roles").json()["results"]
    assert [role["name"] for role in roles] == ["a", "b"]


def test_ten_thousand_at_once(admin: Persona) -> None:
    users = [person(number) for number in range(10_000)]
    assert counts(sync(admin, *users)) == (10_000, 0, 0, 0)
    users[1234]["name"] = "Changed"
    assert counts(sync(admin, *users)) == (0, 1, 9_999, 0)
    refused = admin.client.post(SYNC, {"users": [*users, person(-1)]})
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["users"])


def test_the_missing_are_deleted_only_on_request(admin: Persona) -> None:
    by_hand = admin.client.post(USERS, {"email": "by-hand@example.com"}).json()
    sync(admin, person(1), person(2), person(3))
    assert counts(sync(admin, person(1))) == (0, 0, 1, 0)
    assert counts(sync(admin, person(1), person(3, email="broken"), delete_missing=True)) == (0, 0, 1, 1)
    assert sorted(stored(admin)) == ["", "crm-1", "crm-3"]
    assert admin.client.get(f"{USERS}/{by_hand['id']}").status_code == 200
    assert counts(sync(admin, person(2))) == (1, 0, 0, 0)


def test_an_email_goes_to_whoever_has_it_in_the_end(admin: Persona) -> None:
    sync(admin, person(1), person(2), person(3), person(4))
    chain = [person(number, email=f"user{number + 1}@example.com") for number in (1, 2, 3)]
    report = sync(admin, *chain, person(4, email="USER5@example.com"))
    assert (counts(report), report["errors"]) == ((0, 4, 0, 0), [])
    assert stored(admin)["crm-1"].email == "user2@example.com"
    report = sync(admin, person(1, email="user3@example.com"), person(2, email="user2@example.com"))
    assert [error["index"] for error in report["errors"]] == [0, 1], "an exchange"
    back = person(9, email="User2@example.com")
    report = sync(admin, back, *chain[1:], delete_missing=True)
    assert (counts(report), report["errors"]) == ((1, 0, 2, 2), []), "the missing make room"
    assert sorted(stored(admin)) == ["crm-2", "crm-3", "crm-9"]


def test_nobody_is_deleted_on_a_guess(admin: Persona) -> None:
    sync(admin, person(1), person(2))
    report = sync(admin, person(1), {"name": "who?"}, delete_missing=True)
    assert (report["deleted"], report["deletion_skipped"]) == (0, True)
    assert admin.client.post(SYNC, {"users": [], "delete_missing": True}).status_code == 400
    assert sorted(stored(admin)) == ["crm-1", "crm-2"]


@pytest.mark.parametrize(
    ("user", "field"),
    [
        ({"email": "a@b.example"}, "external_user_id"),
        ({"external_user_id": 7}, "external_user_id"),
        (person(9, email="nobody"), "email"),
        (person(9, phone="12"), "phone"),
        (person(9, status="sleepy"), "status"),
        (person(9, roles=[7]), "roles"),
        (person(9, metadata=[]), "metadata"),
        (person(9, emial="x"), "emial"),
        (person(9, name="a\x00b"), "name"),
        (person(9, metadata={"a": "\x00"}), "metadata"),
        (person(9, email="USER1@example.com"), "email"),
        (person(9, email="user8@example.com"), "email"),
        (person(8), "external_user_id"),
        ("crm-9", "user"),
    ],
)
def test_one_error_stops_nobody_else(admin: Persona, user: Any, field: str) -> None:
    sync(admin, person(1))
    report = sync(admin, person(8), user, person(10))
    assert counts(report) == (2, 0, 0, 0)
    assert [(error["index"], list(error["errors"])) for error in report["errors"]] == [(1, [field])]
    assert sorted(stored(admin)) == ["crm-1", "crm-10", "crm-8"]


def test_another_tenants_people_are_others(admin: Persona, stranger: Persona) -> None:
    assert counts(sync(admin, person(1))) == (1, 0, 0, 0)
    assert counts(sync(stranger, person(1, name="Theirs"), delete_missing=True)) == (1, 0, 0, 0)
    assert stored(admin)["crm-1"].name == "User 1"
