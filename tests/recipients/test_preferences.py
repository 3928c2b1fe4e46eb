"""Preferences: the API, and what is decided by them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_service.lib.scope import tenant_scope
from notifications.recipients.digest_times import MARGIN
from notifications.recipients.models import Preference, Recipient
from notifications.recipients.preferences import Defer, Planned, Withhold, decide, switch_of
from tenants.models import Role, Tenant
from tests.conftest import Persona

MINE = "/api/v1/users/me/preferences"
CATEGORIES = "/api/v1/categories"
NIGHT = {"start": "22:00", "end": "07:00", "time_zone": "Europe/Dublin"}
NOON = datetime.fromisoformat("2026-01-10T12:00:00+00:00")
MIDNIGHT = datetime.fromisoformat("2026-01-10T23:59:00+00:00")
MORNING = datetime.fromisoformat("2026-01-11T07:00:00+00:00")


@pytest.fixture
def employee(tenant: Tenant, make_persona: Callable[..., Persona]) -> Persona:
    return make_persona(tenant, Role.EMPLOYEE)


def category(admin: Persona, key: str, **fields: Any) -> str:
    answer = admin.client.post(CATEGORIES, {"key": key, **fields})
    assert answer.status_code == 201, answer.json()
    return str(answer.json()["id"])


def chosen(persona: Persona, **body: Any) -> dict[str, Any]:
    answer = persona.client.put(MINE, body)
    assert answer.status_code == 200, answer.json()
    found: dict[str, Any] = answer.json()
    return found


def decided(persona: Persona, *planned: Planned) -> list[Any]:
    with tenant_scope(persona.tenant_id):
        return decide(planned)


def test_a_person_chooses(employee: Persona, admin: Persona) -> None:
    category(admin, "marketing", name="News")
    before = employee.client.get(MINE).json()
    assert (before["categories"], before["quiet_hours"], before["digest"]) == ({}, None, "instant")
    assert (before["updated_at"], before["user_id"]) == (None, str(employee.user.id))
    assert before["available"][0]["channels"]["email"] is True
    after = chosen(employee, categories={"marketing": {"email": False}}, quiet_hours=NIGHT, digest="daily")
    assert (after["categories"], after["quiet_hours"], after["digest"]) == (
        {"marketing": {"email": False}},
        NIGHT,
        "daily",
    )
    assert after["updated_at"]
    (news,) = after["available"]
    assert (news["key"], news["name"], news["channels"]["email"], news["channels"]["sms"]) == (
        "marketing",
        "News",
        False,
        True,
    )
    assert employee.client.get(MINE).json() == after
    assert admin.client.get(MINE).json()["categories"] == {}
    assert chosen(employee)["quiet_hours"] is None


def test_the_zone_of_quiet_hours_is_the_persons_own(employee: Persona, tenant: Tenant) -> None:
    night = {"start": "22:00", "end": "07:00"}
    tenant.timezone = "Africa/Lagos"
    tenant.save()
    assert chosen(employee, quiet_hours=night)["quiet_hours"]["time_zone"] == "Africa/Lagos"
    with tenant_scope(tenant.id):
        Recipient.objects.create(tenant=tenant, external_user_id=str(employee.user.id), time_zone="Asia/Tokyo")
    assert chosen(employee, quiet_hours=night)["quiet_hours"]["time_zone"] == "Asia/Tokyo"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"categories": {"security": {"email": False}}}, "categories.security.email"),
        ({"categories": {"security": {"*": False}}}, "categories.security.*"),
        ({"categories": {"marketing": {"pigeon": True}}}, "categories.marketing.pigeon"),
        ({"categories": {"c" * 65: {"email": True}}}, "categories"),
        ({"categories": {"marketing": {"email": "perhaps"}}}, "categories"),
        ({"categories": {"marketing": True}}, "categories"),
        ({"quiet_hours": {"start": "22:00"}}, "quiet_hours"),
        ({"quiet_hours": {"start": "25:00", "end": "07:00"}}, "quiet_hours"),
        ({"quiet_hours": {**NIGHT, "end": "22:00"}}, "quiet_hours.end"),
        ({"quiet_hours": {**NIGHT, "time_zone": "Mars/Olympus"}}, "quiet_hours.time_zone"),
        ({"digest": "yearly"}, "digest"),
        ({"quiet_hours": {"start": "22:00", "end": "07:00", "timezone": "Europe/Dublin"}}, "quiet_hours.timezone"),
        ({"quietHours": NIGHT}, "quietHours"),
        ({"digest": "daily", "digests": "daily"}, "digests"),
    ],
)
def test_what_is_refused_names_its_field(employee: Persona, admin: Persona, body: dict[str, Any], field: str) -> None:
    category(admin, "security", required=True)
    answer = employee.client.put(MINE, body)
    assert answer.status_code == 400
    assert [name for name in answer.json()["errors"] if name.startswith(field)], answer.json()
    assert employee.client.get(MINE).json()["updated_at"] is None


def test_an_answer_can_be_sent_back(employee: Persona) -> None:
    answer = chosen(employee, categories={"marketing": {"email": False}}, quiet_hours=NIGHT, digest="daily")
    again = chosen(employee, **answer)
    assert {**again, "updated_at": None} == {**answer, "updated_at": None}


def test_admins_choose_for_others(admin: Persona, employee: Persona) -> None:
    user = admin.client.post("/api/v1/users", {"external_user_id": "crm-17"}).json()
    address = f"/api/v1/users/{user['id']}/preferences"
    assert admin.client.put(address, {"digest": "hourly"}).json()["user_id"] == "crm-17"
    assert admin.client.get(address).json()["digest"] == "hourly"
    assert employee.client.get(address).status_code == employee.client.put(address, {}).status_code == 403


def test_mine_are_those_of_my_row(admin: Persona, employee: Persona) -> None:
    user = admin.client.post("/api/v1/users", {"external_user_id": str(employee.user.id)}).json()
    chosen(employee, digest="hourly")
    assert admin.client.get(f"/api/v1/users/{user['id']}/preferences").json()["digest"] == "hourly"


def test_categories(admin: Persona, stranger: Persona, employee: Persona) -> None:
    made = category(admin, "marketing")
    address = f"{CATEGORIES}/{made}"
    assert admin.client.post(CATEGORIES, {"key": "marketing"}).status_code == 409
    assert admin.client.post(CATEGORIES, {"key": "two words"}).status_code == 400
    assert admin.client.patch(address, {"required": True}).json()["required"] is True
    assert admin.client.put(address, {"key": "news"}).json()["required"] is False
    assert [row["key"] for row in admin.client.get(CATEGORIES).json()["results"]] == ["news"]
    assert employee.client.get(CATEGORIES).status_code == 403
    assert stranger.client.get(CATEGORIES).json()["results"] == []
    for call in (stranger.client.get, stranger.client.patch, stranger.client.delete):
        assert call(address).status_code == 404
    assert admin.client.delete(address).status_code == 204


def test_decisions_in_one_query(admin: Persona, employee: Persona, django_assert_num_queries: Any) -> None:
    category(admin, "security", required=True)
    category(admin, "offers", default_on=False)
    chosen(employee, categories={"marketing": {"email": False}, "*": {"sms": False}}, quiet_hours=NIGHT)
    me, other = str(employee.user.id), "crm-18"
    asked: list[tuple[Planned, Any]] = [
        (Planned(me, "email", NOON, "marketing"), Withhold("preference:marketing:email")),
        (Planned(me, "email", NOON, "marketing", "critical"), None),
        (Planned(me, "push", NOON, "marketing"), None),
        (Planned(me, "sms", NOON, "marketing"), Withhold("preference:*:sms")),
        (Planned(me, "sms", NOON), Withhold("preference:*:sms")),
        (Planned(me, "sms", NOON, "security"), None),
        (Planned(me, "email", NOON), None),
        (Planned(me, "email", MIDNIGHT), Defer(MORNING)),
        (Planned(me, "email", MIDNIGHT, "marketing"), Withhold("preference:marketing:email")),
        (Planned(me, "email", MIDNIGHT, "security"), None),
        (Planned(me, "email", MIDNIGHT, lane="critical"), None),
        (Planned(me, "email", MIDNIGHT, lane="bulk"), Defer(MORNING)),
        (Planned(me, "email", NOON, "offers"), Withhold("preference:offers:email")),
        (Planned(other, "email", NOON, "offers"), Withhold("preference:offers:email")),
        (Planned(other, "email", MIDNIGHT, "marketing"), None),
        (Planned("", "email", MIDNIGHT, "offers"), None),
    ]
    with tenant_scope(admin.tenant_id), django_assert_num_queries(1):
        assert decide([planned for planned, _ in asked]) == [expected for _, expected in asked]
    with tenant_scope(admin.tenant_id), django_assert_num_queries(0):
        assert decide([]) == []


def test_a_digest_in_the_time_zone_that_is_known(employee: Persona, tenant: Tenant) -> None:
    """That of the preference, else the person's, else the tenant's."""
    me, forever = str(employee.user.id), datetime.max.replace(tzinfo=UTC)
    planned = Planned(me, "email", NOON, gather_before=forever)
    chosen(employee, digest="daily")
    tenant.timezone = "Africa/Lagos"
    tenant.save()
    assert decided(employee, planned) == [Defer(datetime.fromisoformat("2026-01-11T07:00:00+00:00"), "daily")]
    with tenant_scope(tenant.id):
        Recipient.objects.create(tenant=tenant, external_user_id=me, time_zone="Asia/Tokyo")
    assert decided(employee, planned) == [Defer(datetime.fromisoformat("2026-01-10T23:00:00+00:00"), "daily")]
    chosen(employee, digest="daily", quiet_hours={**NIGHT, "time_zone": "America/New_York"})
    expected = Defer(datetime.fromisoformat("2026-01-10T13:00:00+00:00"), "daily")
    assert decided(employee, planned) == [expected]
    assert (expected.due_at - expected.until, expected.reason) == (MARGIN, "preference:digest:daily")
    late = Planned(me, "email", NOON, gather_before=expected.due_at)
    not_to_be = [late, planned._replace(channel="sms"), planned._replace(gather_before=None)]
    assert decided(employee, *not_to_be) == [None, None, None]


def test_what_was_off_by_default_can_be_chosen(admin: Persona, employee: Persona) -> None:
    category(admin, "offers", default_on=False)
    me = str(employee.user.id)
    chosen(employee, categories={"*": {"*": True}})
    assert decided(employee, Planned(me, "email", NOON, "offers")) == [Withhold("preference:offers:email")]
    chosen(employee, categories={"offers": {"email": True}})
    assert decided(employee, Planned(me, "email", NOON, "offers")) == [None]


def test_another_tenants_choices_do_not_count(employee: Persona, stranger: Persona) -> None:
    chosen(employee, categories={"*": {"*": False}}, quiet_hours=NIGHT)
    asked = Planned(str(employee.user.id), "email", MIDNIGHT)
    assert decided(employee, asked) == [Withhold("preference:*:*")]
    assert decided(stranger, asked) == [None]
    with tenant_scope(stranger.tenant_id):
        assert not Preference.objects.exists()


_NAMES = st.sampled_from(["*", "marketing", "news"])
_CHANNELS = st.sampled_from(["*", "email", "sms"])
_SWITCHES = st.dictionaries(_NAMES, st.dictionaries(_CHANNELS, st.booleans()))


@given(_SWITCHES, st.sampled_from(["", "marketing", "news"]), st.sampled_from(["email", "sms"]), st.booleans())
def test_the_closer_word_counts(switches: Any, category: str, channel: str, default_on: bool) -> None:
    switch, on = switch_of(switches, category, channel, default_on)
    name, _, where = switch.partition(":")
    if switch == f"{category or '*'}:{channel}" and where not in switches.get(name, {}):
        assert on is default_on
        assert not {channel, "*"} & switches.get(category or "*", {}).keys()
        assert not default_on or not {channel, "*"} & switches.get("*", {}).keys()
    else:
        assert on is switches[name][where]
        assert {name, where} <= {category, channel, "*"}
        if name == "*" and category:
            assert not {channel, "*"} & switches.get(category, {}).keys()
        if where == "*":
            assert channel not in switches[name]
