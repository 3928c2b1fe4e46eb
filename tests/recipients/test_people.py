"""Who is meant, and where they receive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from notification_service.lib.errors import InvalidInput
from notification_service.lib.scope import NoScope, tenant_scope
from notifications.recipients.models import Device, Recipient, RecipientStatus
from notifications.recipients.people import addresses_of, find_people, people_by_user_id
from tenants.models import Tenant

Make = Callable[..., Recipient]


@pytest.fixture
def make(tenant: Tenant) -> Make:
    def make(external_user_id: str = "", **fields: Any) -> Recipient:
        with tenant_scope(tenant.id):
            return Recipient.objects.create(tenant=tenant, external_user_id=external_user_id, **fields)

    return make


def names(tenant: Tenant, **wanted: Any) -> list[str]:
    with tenant_scope(tenant.id):
        return [person.name for person in find_people(**wanted)]


@pytest.fixture
def three(make: Make) -> Sequence[Recipient]:
    cork, galway = {"home": {"city": "Cork"}}, {"home": {"city": "Galway"}, "floor": 3}
    return [
        make("crm-1", name="Ada", email="Ada@Example.com", roles=["lead", "staff"], metadata=cork),
        make("crm-2", name="Bob", phone="+353861234567", roles=["staff"], locale="de", metadata={"floor": 3}),
        make(name="Eve", roles=["guest"], locale="en-IE", metadata=galway),
    ]


def test_by_ids_roles_and_emails(tenant: Tenant, three: Sequence[Recipient]) -> None:
    eve = str(three[2].id)
    assert names(tenant, user_ids=["crm-1", eve, "nobody"]) == ["Ada", "Eve"]
    assert names(tenant, user_ids=[str(three[0].id)]) == ["Ada"]
    assert names(tenant, external_user_ids=["crm-2", eve, ""]) == ["Bob"]
    assert names(tenant, roles=["staff"]) == ["Ada", "Bob"]
    assert names(tenant, roles=["guest", "lead"]) == ["Ada", "Eve"]
    assert names(tenant, emails=["ADA@example.com", ""]) == ["Ada"]
    assert names(tenant, user_ids=["crm-2"], roles=["guest"], emails=["ada@example.com"]) == ["Ada", "Bob", "Eve"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, ["Ada", "Bob", "Eve"]),
        ({"locale": "de"}, ["Bob"]),
        ({"locale": ["de", "en-IE"]}, ["Bob", "Eve"]),
        ({"metadata.home.city": "Cork"}, ["Ada"]),
        ({"metadata.home.city": ["Cork", "Galway"]}, ["Ada", "Eve"]),
        ({"metadata.floor": 3, "locale": "en-IE"}, ["Eve"]),
        ({"metadata.floor": "3"}, []),
        ({"metadata.home__city": "Cork"}, []),
        ({"locale": []}, []),
        ({"metadata.floor": []}, []),
    ],
)
def test_by_what_is_known(
    tenant: Tenant, three: Sequence[Recipient], where: dict[str, Any], expected: list[str]
) -> None:
    assert names(tenant, where=where) == expected


def test_who_names_nobody_reaches_nobody(tenant: Tenant, three: Sequence[Recipient]) -> None:
    assert names(tenant) == []
    assert names(tenant, user_ids=[], roles=[]) == []
    assert names(tenant, user_ids=[""]) == []
    assert names(tenant, roles=["staff"], where={"locale": "de"}) == ["Bob"]


@pytest.mark.parametrize("name", ["shoe_size", "metadata", "metadata.", "tenant_id", "status"])
def test_unknown_conditions_are_named(tenant: Tenant, name: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        names(tenant, where={name: "x"})
    assert list(refusal.value.errors) == [f"where.{name}"]


def test_pages_by_id(tenant: Tenant, three: Sequence[Recipient]) -> None:
    with tenant_scope(tenant.id):
        first = find_people(where={}, limit=2)
        rest = find_people(where={}, after=first[-1].id, limit=2)
    assert [person.name for person in (*first, *rest)] == ["Ada", "Bob", "Eve"]


def test_only_those_who_may_be_written_to(tenant: Tenant, make: Make) -> None:
    for status in RecipientStatus:
        make(f"crm-{status}", name=str(status), status=status)
    assert sorted(names(tenant, where={})) == ["active", "approved"]


def test_the_tenants_word_comes_first(tenant: Tenant, make: Make) -> None:
    plain = make(name="Ada")
    make(str(plain.id), name="Bob")
    with tenant_scope(tenant.id):
        found = people_by_user_id([str(plain.id), "nobody"])
    assert {key: person.name for key, person in found.items()} == {str(plain.id): "Bob"}


def test_another_tenant_finds_nobody(tenant: Tenant, other_tenant: Tenant, three: Sequence[Recipient]) -> None:
    assert names(other_tenant, where={}) == []
    assert names(other_tenant, user_ids=["crm-1", str(three[2].id)], roles=["staff"]) == []
    with pytest.raises(NoScope):
        find_people(where={})


def test_addresses(tenant: Tenant, three: Sequence[Recipient], django_assert_num_queries: Any) -> None:
    ada, _, eve = three
    devices = [("crm-1", "t1", True), (str(ada.id), "t2", True), ("crm-1", "t3", False), (str(eve.id), "t4", True)]
    with tenant_scope(tenant.id):
        for user_id, token, active in devices:
            Device.objects.create(
                tenant=tenant,
                user_id=user_id,
                device_id=token,
                platform="ios",
                token=token,
                active=active,
                last_seen_at=ada.created_at,
            )
        people = find_people(where={})

        def found(channel: str) -> list[list[str]]:
            return list(addresses_of(people, channel).values())

        with django_assert_num_queries(1):
            assert found("push") == [["t1", "t2"], [], ["t4"]]
        assert found("email") == [["Ada@Example.com"], [], []]
        assert found("sms") == found("whatsapp") == [[], ["+353861234567"], []]
        assert found("inapp") == [["crm-1"], ["crm-2"], [str(eve.id)]]
        assert found("apprise") == [[], [], []]


def test_what_messages_may_say(tenant: Tenant, three: Sequence[Recipient]) -> None:
    with tenant_scope(tenant.id):
        (ada,) = find_people(user_ids=["crm-1"])
    assert (ada.context["id"], ada.context["name"]) == ("crm-1", "Ada")
    assert ada.context["metadata"] == {"home": {"city": "Cork"}}


@pytest.mark.parametrize("fields", [{"email": "ADA@example.COM"}, {"external_user_id": "crm-1"}])
def test_one_person_per_email_and_external_id(tenant: Tenant, make: Make, fields: dict[str, Any]) -> None:
    first = make("crm-1", email="ada@example.com")
    with pytest.raises(IntegrityError), transaction.atomic():
        make(**fields)
    with tenant_scope(tenant.id):
        Recipient.objects.filter(id=first.id).update(deleted_at=first.created_at)
    make(**fields)
