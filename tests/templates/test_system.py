"""The service's own templates and lookups: there for every tenant, and the tenant's own once changed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from notification_service.lib.errors import InvalidInput
from notification_service.lib.scope import tenant_scope
from notifications.templates import system
from notifications.templates.models import MessageTemplate, MessageTemplateVersion
from notifications.templates.services import resolve
from tenants.models import Tenant
from tests.conftest import Persona
from tests.templates.conftest import INVITE, TEMPLATES

LOOKUPS = "/api/v1/admin/lookups"
EVENTS = [
    "user.registration.completed",
    "user.password.reset.requested",
    "user.login.succeeded",
    "user.login.failed",
    "invoice.payment.failed",
    "task.assigned",
    "comment.mentioned",
    "content.liked",
    "auth.2fa.code.requested",
    "auth.2fa.attempt.failed",
    "auth.2fa.method.changed",
    "reward_issued",
    "interview.scheduled",
    "candidate.status.changed",
    "document.expiring",
    "review.approved",
    "customer.created",
    "camera.status.changed",
    "camera.moved",
    "camera.recording.changed",
]


@pytest.mark.parametrize("channel", ["email", "inapp"])
@pytest.mark.parametrize("event", EVENTS)
def test_every_known_event_has_words(admin: Persona, event: str, channel: str) -> None:
    with tenant_scope(admin.tenant_id):
        version = resolve(event, channel=channel)
    assert (version.template.slug, version.template.channel) == (f"{event}.{channel}", channel)
    shown = admin.client.post(f"{TEMPLATES}{version.template.slug}/preview/", {})
    assert shown.status_code == 200, shown.json()
    # With nothing but what is required, too.
    needed = {each["name"]: "7" for each in version.placeholders if each["required"] and each["type"] != "url"}
    needed |= {each["name"]: "https://x.example/" for each in version.placeholders if each["type"] == "url"}
    strict = admin.client.post(f"{TEMPLATES}{version.template.slug}/preview/", {"context": needed, "strict": True})
    assert strict.status_code == 200, strict.json()


def test_they_are_made_once(admin: Persona) -> None:
    with tenant_scope(admin.tenant_id):
        assert system.ensure()
        count = MessageTemplateVersion.objects.count()
        system.forget(admin.tenant_id)
        assert not system.ensure()
        assert MessageTemplateVersion.objects.count() == count == len(system.defaults())


def test_a_changed_file_is_a_new_version_of_what_the_tenant_left_alone(
    admin: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin.client.patch(f"{TEMPLATES}task.assigned.email/", {"name": "Ours"})
    with tenant_scope(admin.tenant_id):
        MessageTemplateVersion.objects.filter(template__slug__startswith="task.assigned").update(checksum="older")
        system.forget(admin.tenant_id)
        assert system.ensure()
        numbers = dict(
            MessageTemplate.objects.filter(slug__startswith="task.assigned").values_list("slug", "latest__number")
        )
    assert numbers == {"task.assigned.email": 1, "task.assigned.inapp": 2}


def test_a_tenant_makes_a_system_template_its_own_and_gives_it_back(admin: Persona, stranger: Persona) -> None:
    address = f"{TEMPLATES}reward_issued.email/"
    own = {"content": {"subject": "Well done, {{ employee_details.name }}"}, "placeholders": []}
    changed = admin.client.patch(address, own).json()
    assert (changed["source"], changed["version"], changed["published_version"]) == ("tenant", 2, 2)
    assert stranger.client.get(address).json()["source"] == "system"
    with tenant_scope(admin.tenant_id):
        assert resolve("reward_issued", channel="email").content == own["content"]
    assert admin.client.delete(address).status_code == 204
    back = admin.client.get(address).json()
    assert (back["source"], back["version"]) == ("system", 1)
    refused = admin.client.delete(address)
    assert (refused.status_code, refused.json()["code"]) == (409, "system")


def test_a_tenant_may_post_over_a_system_template(admin: Persona) -> None:
    body = {**INVITE, "slug": "reward_issued.email"}
    made = admin.client.post(TEMPLATES, body)
    assert (made.status_code, made.json()["source"]) == (201, "tenant")
    wrong = admin.client.post(TEMPLATES, {**body, "slug": "reward_issued.inapp"})
    assert (wrong.status_code, list(wrong.json()["errors"])) == (400, ["slug"])


def test_a_tenants_own_layout_holds_for_system_templates(admin: Persona) -> None:
    layout = {"content": {"html": "<html>OURS {{ content }}</html>"}}
    assert admin.client.patch(f"{TEMPLATES}layout.default/", layout).status_code == 200
    shown = admin.client.post(f"{TEMPLATES}reward_issued.email/preview/", {}).json()
    assert shown["rendered"]["html"].startswith("<html>OURS")
    with tenant_scope(admin.tenant_id):
        MessageTemplateVersion.objects.filter(template__slug="task.assigned.email").update(checksum="older")
        system.forget(admin.tenant_id)
        system.ensure()
        assert resolve("task.assigned.email").compiled[""]["html"].startswith("<html>OURS")


def test_an_unknown_template_is_named(admin: Persona) -> None:
    with tenant_scope(admin.tenant_id), pytest.raises(InvalidInput) as caught:
        resolve("nothing")
    assert list(caught.value.errors) == ["template"]


# --- Lookups ---------------------------------------------------------------------------------------------------------


def of_type(persona: Persona, name: str, **query: Any) -> dict[str, dict[str, Any]]:
    found = persona.client.get(LOOKUPS, {"type": name, "page_size": 100, **query}).json()["results"]
    return {each["value"]: each for each in found}


def test_system_lookups_are_there(admin: Persona) -> None:
    types = {each["type"]: each for each in admin.client.get(f"{LOOKUPS}/types").json()}
    assert {"category", "priority", "locale", "channel", "lane"} <= types.keys()
    assert sum(each["count"] for each in types.values()) >= 35
    assert list(of_type(admin, "priority")) == ["low", "normal", "high", "urgent"]
    assert of_type(admin, "priority")["low"]["source"] == "system"


def test_a_tenant_adds_hides_and_renames(admin: Persona, stranger: Persona) -> None:
    body = {"type": "office", "value": "cork", "label": "Cork"}
    made = admin.client.post(LOOKUPS, body)
    assert made.status_code == 201, made.json()
    assert made.json()["source"] == "tenant"
    assert "cork" in of_type(admin, "office")
    assert "cork" not in of_type(stranger, "office")
    assert admin.client.post(LOOKUPS, body).json()["code"] == "lookup_taken"
    hidden = {"type": "category", "value": "social", "label": "Social", "active": False}
    address = f"{LOOKUPS}/{admin.client.post(LOOKUPS, hidden).json()['id']}"
    assert "social" not in of_type(admin, "category")
    assert of_type(admin, "category", hidden="true")["social"]["active"] is False
    assert admin.client.patch(address, {"active": True, "label": "Company life"}).json()["label"] == "Company life"
    assert of_type(admin, "category")["social"]["label"] == "Company life"
    assert stranger.client.get(address).status_code == 404
    assert stranger.client.patch(address, {"label": "x"}).status_code == 404
    assert stranger.client.delete(address).status_code == 404
    assert admin.client.put(address, {"label": "Again"}).json()["label"] == "Again"
    assert admin.client.delete(address).status_code == 204
    assert of_type(admin, "category")["social"]["source"] == "system"


def test_categories_are_those_of_preferences(admin: Persona, stranger: Persona) -> None:
    """There is one list: what people may switch off is what a template may be about."""
    refused = admin.client.post(LOOKUPS, {"type": "category", "value": "payroll", "label": "Payroll"})
    assert (refused.status_code, refused.json()["code"], list(refused.json()["errors"])) == (
        400,
        "kept_elsewhere",
        ["type"],
    )
    assert "/api/v1/categories" in refused.json()["detail"]
    wrong = admin.client.post(TEMPLATES, {**INVITE, "category": "payroll"})
    assert (wrong.status_code, list(wrong.json()["errors"])) == (400, ["category"])
    made = admin.client.post("/api/v1/categories", {"key": "payroll", "name": "Pay", "required": True}).json()
    shown = of_type(admin, "category")["payroll"]
    assert (shown["label"], shown["source"], shown["id"]) == ("Pay", "tenant", None)
    assert admin.client.get(shown["place"]).json()["id"] == made["id"]
    assert "payroll" not in of_type(stranger, "category")
    assert "payroll" not in of_type(admin, "priority")
    assert admin.client.post(TEMPLATES, {**INVITE, "category": "payroll"}).status_code == 201
    assert stranger.client.post(TEMPLATES, {**INVITE, "category": "payroll"}).status_code == 400
    assert admin.client.post("/api/v1/categories", {"key": "social", "name": "Company life"}).status_code == 201
    assert of_type(admin, "category")["social"]["label"] == "Company life"
    assert admin.client.delete(shown["place"]).status_code == 204
    assert "payroll" not in of_type(admin, "category")


@pytest.mark.parametrize(
    ("changes", "field"), [({"type": "a b"}, "type"), ({"value": ""}, "value"), ({"label": ""}, "label")], ids=str
)
def test_lookups_that_are_none(admin: Persona, changes: dict[str, str], field: str) -> None:
    answer = admin.client.post(LOOKUPS, {"type": "category", "value": "x", "label": "X", **changes})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


@pytest.mark.django_db(transaction=True)
def test_two_who_look_for_the_first_time_at_the_same_moment(tenant: Tenant) -> None:
    def look() -> int:
        try:
            with tenant_scope(tenant.id):
                system.ensure()
                return MessageTemplate.objects.count()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        found = [each.result() for each in [threads.submit(look) for _ in range(4)]]
    assert set(found) == {len(system.defaults())}
