"""What lists say is what callers may name: locales, lanes, priorities; and what a form of the admin offers."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.channels.registry import channels
from notifications.inbox.models import Priority
from notifications.records.states import Lane
from notifications.templates import lookups
from notifications.templates.declared import TYPES
from notifications.templates.models import Lookup
from notifications.templates.rendering import label_of
from notifications.templates.services import resolve
from tenants.models import User
from tests.conftest import Persona
from tests.templates.conftest import INVITE, TEMPLATES, Make

LOOKUPS = "/api/v1/admin/lookups"
RECORDS = "/api/notifications/records/"
SEND = "/api/v1/services/notifications/send"
BATCH = "/api/v1/services/notifications/send-batch"
BELL: dict[str, Any] = {"name": "Bell", "channel": "inapp", "content": {"title": "Hi", "priority": "high"}}


def hide(persona: Persona, type_: str, value: str) -> None:
    answer = persona.client.post(LOOKUPS, {"type": type_, "value": value, "label": value, "active": False})
    assert answer.status_code == 201, answer.json()


@pytest.mark.parametrize(
    ("type_", "known"),
    [
        ("lane", Lane.values),
        ("priority", Priority.values),
        ("channel", channels.keys()),
        ("placeholder_type", TYPES.keys()),
    ],
    ids=["lane", "priority", "channel", "placeholder_type"],
)
def test_the_list_holds_what_the_service_knows(admin: Persona, type_: str, known: list[str]) -> None:
    with tenant_scope(admin.tenant.id):
        assert set(lookups.known(type_)) == set(known)
    answer = admin.client.post(LOOKUPS, {"type": type_, "value": "own", "label": "Own"})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["value"])
    assert sorted(known)[0] in answer.json()["detail"]


@pytest.mark.parametrize("tag", ["en", "en-NZ", "pt_br", "zh-Hans-CN", "yo-NG", "cy", "sr-Latn-RS"])
def test_locales_of_the_world_are_known(admin: Persona, tag: str) -> None:
    with tenant_scope(admin.tenant.id):
        lookups.check_locale(tag)


def test_a_template_names_known_locales_only(admin: Persona, make: Make) -> None:
    wrong = admin.client.post(TEMPLATES, {**INVITE, "locale": "qq-XX"})
    assert (wrong.status_code, list(wrong.json()["errors"])) == (400, ["locale"])
    assert "known: en, en-GB, de" in wrong.json()["detail"]
    assert f"more at {LOOKUPS}?type=locale" in wrong.json()["detail"]
    variants = {"qq": {"subject": "Q", "body": "Q"}}
    wrong = admin.client.post(TEMPLATES, {**INVITE, "variants": variants})
    assert list(wrong.json()["errors"]) == ["variants.qq"]
    made = make(locale="de")
    address = f"{TEMPLATES}{made['id']}/"
    assert list(admin.client.patch(address, {"locale": "qq"}).json()["errors"]) == ["locale"]
    assert admin.client.post(LOOKUPS, {"type": "locale", "value": "qq", "label": "Qu"}).status_code == 201
    assert admin.client.patch(address, {"variants": variants}).status_code == 200
    hide(admin, "locale", "de")
    assert admin.client.patch(address, {"description": "in German as ever"}).status_code == 200
    assert list(admin.client.patch(address, {"locale": "de-AT"}).json()["errors"]) == ["locale"]


def test_messages_name_known_locales_only(mailing: Persona, make: Make) -> None:
    slug = make()["slug"]
    body = {"channel": "email", "template": slug, "context": {"name": "Ada"}}
    ada = {"recipient": "ada@example.com"}
    wrong = mailing.client.post(RECORDS, {**body, **ada, "locale": "qq"})
    assert (wrong.status_code, list(wrong.json()["errors"])) == (400, ["locale"])
    assert mailing.client.post(RECORDS, {**body, **ada, "locale": "pt_AO"}).json()["locale"] == "pt_AO"
    to = {"email": "ada@example.com"}
    wrong = mailing.client.post(SEND, {**body, "recipients": [to, {**to, "locale": "qq"}]})
    assert list(wrong.json()["errors"]) == ["recipients.1.locale"]
    items = [{**body, **ada}, {**body, **ada, "locale": "qq"}, {**body, **ada, "lane": "slow"}]
    (locale, lane) = mailing.client.post(BATCH, {"items": items}).json()["errors"]
    assert (locale["index"], locale["field"], lane["index"], lane["field"]) == (1, "locale", 2, "lane")
    assert "known: critical, normal, bulk" in lane["detail"]


def test_what_is_hidden_can_not_be_named(mailing: Persona, admin: Persona) -> None:
    hide(admin, "lane", "critical")
    hide(admin, "priority", "urgent")
    mail = {"channel": "email", "recipient": "ada@example.com", "content": {"subject": "Hi", "body": "Hi"}}
    wrong = mailing.client.post(RECORDS, {**mail, "lane": "critical"})
    assert (wrong.status_code, list(wrong.json()["errors"])) == (400, ["lane"])
    assert mailing.client.post(RECORDS, {**mail, "lane": "bulk"}).status_code == 201
    urgent = {"title": "Hi", "priority": "urgent"}
    wrong = admin.client.post(RECORDS, {"channel": "inapp", "recipient": "ada", "content": urgent})
    assert list(wrong.json()["errors"]) == ["content.priority"]
    assert list(admin.client.post(TEMPLATES, {**BELL, "content": urgent}).json()["errors"]) == ["content.priority"]
    assert admin.client.post(TEMPLATES, BELL).status_code == 201


def test_rows_of_a_value_that_is_gone_can_be_found_and_deleted(admin: Persona) -> None:
    with tenant_scope(admin.tenant.id):
        row = Lookup.objects.create(tenant=admin.tenant, type="lane", value="express", label="Express")
        assert "express" not in lookups.known("lane")
    shown = admin.client.get(LOOKUPS, {"type": "lane", "hidden": "true"}).json()["results"]
    (gone,) = [each for each in shown if each["value"] == "express"]
    assert (gone["id"], gone["active"]) == (str(row.id), False)
    assert admin.client.delete(f"{LOOKUPS}/{row.id}").status_code == 204


def test_the_label_of_a_version_is_its_tenants(admin: Persona, stranger: Persona, make: Make) -> None:
    made = make()
    with tenant_scope(admin.tenant.id):
        version = resolve(made["slug"]).id
        assert label_of(version) == (made["slug"], 1)
    with tenant_scope(stranger.tenant.id):
        assert label_of(version) is None
    with platform_scope("test"):
        assert label_of(version) == (made["slug"], 1)


def test_the_admins_form_offers_the_tenants_categories(admin: Persona, make: Make) -> None:
    staff = Client()
    staff.force_login(User.objects.create_superuser("root@example.com"))
    assert admin.client.post("/api/v1/categories", {"key": "payroll", "name": "Pay"}).status_code == 201
    made = make(publish=True)
    admin.client.patch(f"{TEMPLATES}{made['id']}/", {"content": {"subject": "Draft {{name}}"}, "publish": False})
    address = reverse("admin:message_templates_messagetemplate_change", args=[made["id"]])
    assert '<option value="payroll">Pay</option>' in staff.get(address).content.decode()
    form = {"name": "Renamed", "category": "payroll", "description": ""}
    assert staff.post(address, {**form, "category": "nonsense"}).status_code == 200
    assert staff.post(address, form).status_code == 302
    shown = admin.client.get(f"{TEMPLATES}{made['id']}/").json()
    assert (shown["name"], shown["category"]) == ("Renamed", "payroll")
    assert (shown["published_version"], shown["version"]) == (1, 2)
