"""Templates from HTTP in to the mail server out: what is previewed is what is sent, and what is pinned stays."""

from __future__ import annotations

from typing import Any

import pytest

from notification_service.lib.scope import tenant_scope
from notifications.records.engine import Engine
from notifications.records.models import NotificationRecord
from notifications.records.tasks import send_notification_email
from notifications.templates.models import MessageTemplate
from notifications.templates.rendering import compiled_version
from tests.conftest import Persona
from tests.records.conftest import RECORDS
from tests.sandbox.conftest import Sandbox
from tests.templates.conftest import TEMPLATES, Make

pytestmark = pytest.mark.django_db(transaction=True)

SEND = "/api/v1/services/notifications/send"


def send(persona: Persona, template: str, context: dict[str, Any], **fields: Any) -> dict[str, Any]:
    body = {"channel": "email", "recipient": "ada@example.com", "template": template, "context": context, **fields}
    answer = persona.client.post(RECORDS, body)
    assert answer.status_code == 201, answer.json()
    return dict(answer.json())


def test_a_record_pins_the_version_that_it_was_accepted_with(
    mailing: Persona, make: Make, engine: Engine, mail_server: Sandbox
) -> None:
    made = make()
    first = send(mailing, "interview-invite", {"name": "Ada <b>"})
    assert (first["template"], first["content"], first["locale"]) == ("interview-invite", {}, "")
    assert (first["template_version"]["slug"], first["template_version"]["number"]) == ("interview-invite", 1)
    mailing.client.patch(f"{TEMPLATES}{made['id']}/", {"content": {"subject": "Changed {{name}}", "text": "Other"}})
    second = send(mailing, made["id"], {"name": "Ada"})
    assert second["template_version"]["number"] == 2
    mailing.client.delete(f"{TEMPLATES}{made['id']}/")
    assert engine.drain(mailing.tenant_id, "normal") == 2
    old, new = sorted(mail_server.messages(), key=lambda mail: str(mail["subject"]), reverse=True)
    assert (old["subject"], new["subject"], new["text"].strip()) == ("Hi Ada <b>", "Changed Ada", "Other")
    assert "See you, Ada &lt;b&gt;." in old["html"]
    assert "See you, Ada <b>." in old["text"]
    assert mailing.client.get(f"{RECORDS}{first['id']}/").json()["status"] == "success"


@pytest.mark.parametrize("locale", ["", "de-AT", "pt-BR"])
def test_a_preview_shows_exactly_what_is_sent(
    mailing: Persona, make: Make, engine: Engine, mail_server: Sandbox, locale: str
) -> None:
    made = make(
        content={
            "subject": "Order of {{ name }}",
            "html": "<h1>{{ name }}</h1>{% for item in items %}<p>{{ item.title }}: {{ item.price | currency: 'EUR' }}"
            "</p>{% endfor %}<p>{{ day | date: 'full' }}</p>",
        },
        variants={"de": {"subject": "Bestellung von {{ name }}", "html": "<p>{{ day | date: 'full' }}</p>"}},
        placeholders=[],
    )
    context = {"name": "Ada & Co", "items": [{"title": "Tea <1>", "price": 1234.5}], "day": "2026-12-24"}
    shown = mailing.client.post(f"{TEMPLATES}{made['id']}/preview/", {"context": context, "locale": locale}).json()
    assert shown["variant"] == ("de" if locale == "de-AT" else "")
    record = send(mailing, made["slug"], context, locale=locale)
    assert record["locale"] == locale
    engine.drain(mailing.tenant_id, "normal")
    (mail,) = mail_server.messages()
    rendered = shown["rendered"]
    assert mail["subject"] == rendered["subject"]
    assert mail["html"].replace("\r\n", "\n").strip() == rendered["html"].strip()
    assert mail["text"].replace("\r\n", "\n").strip() == rendered["text"].strip()
    assert ("24. Dezember 2026" in mail["html"]) == (locale == "de-AT")
    assert ("Tea &lt;1&gt;: €1,234.50" in mail["html"]) == (locale != "de-AT")


def test_a_missing_value_is_refused_at_the_door(mailing: Persona, make: Make) -> None:
    make()
    body = {"channel": "email", "recipient": "ada@example.com", "template": "interview-invite"}
    answer = mailing.client.post(RECORDS, body)
    error = answer.json()
    assert (answer.status_code, error["code"], list(error["errors"])) == (400, "content_error", ["context.name"])
    for part in ("interview-invite", "version 1", "'name'"):
        assert part in error["detail"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"template": "nothing"}, "template"),
        ({"content": {"subject": "x"}}, "template"),
        ({"channel": "inapp", "recipient": "user-1"}, "template"),
        ({"template": "layout.default"}, "template"),
    ],
    ids=str,
)
def test_templates_that_can_not_be_used(mailing: Persona, make: Make, changes: dict[str, Any], field: str) -> None:
    make()
    body = {"channel": "email", "recipient": "ada@example.com", "template": "interview-invite", **changes}
    answer = mailing.client.post(RECORDS, {**body, "context": {"name": "Ada"}})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field]), answer.json()


def test_a_draft_is_not_sent(mailing: Persona, make: Make) -> None:
    made = make(publish=False)
    body = {"channel": "email", "recipient": "a@example.com", "template": made["slug"], "context": {"name": "A"}}
    answer = mailing.client.post(RECORDS, body)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["template"])


def test_the_other_door_sends_a_template_to_each_in_their_language(
    mailing: Persona, make: Make, engine: Engine, mail_server: Sandbox
) -> None:
    make(variants={"pt": {"subject": "Oi {{name}}"}, "de": {"subject": "Hallo {{name}}"}})
    body = {
        "channel": "email",
        "template": "interview-invite",
        "locale": "de",
        "to": [
            {"email": "ada@example.com", "context": {"name": "Ada"}},
            {"email": "rui@example.com", "context": {"name": "Rui"}, "locale": "pt-BR"},
        ],
    }
    answer = mailing.client.post(SEND, body)
    assert answer.status_code == 201, answer.json()
    engine.drain(mailing.tenant_id, "normal")
    assert sorted(mail["subject"] for mail in mail_server.messages()) == ["Hallo Ada", "Oi Rui"]
    missing = mailing.client.post(SEND, {**body, "to": [{"email": "eve@example.com"}]}).json()
    assert (missing["code"], list(missing["errors"])) == ("content_error", ["recipients.0.context.name"])


def test_an_edit_keeps_the_pin_unless_it_brings_other_words(mailing: Persona, make: Make) -> None:
    made = make()
    record = send(mailing, made["slug"], {"name": "Ada"}, scheduled_at="2027-01-01T00:00:00Z")
    address = f"{RECORDS}{record['id']}/"
    mailing.client.patch(f"{TEMPLATES}{made['id']}/", {"content": {"subject": "New {{name}} {{more}}"}})
    kept = mailing.client.patch(address, {"context": {"name": "Grace"}, "locale": "de"}).json()
    assert (kept["template_version"]["number"], kept["locale"], kept["context"]) == (1, "de", {"name": "Grace"})
    refused = mailing.client.patch(address, {"template": made["slug"]})
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["context.more"])
    moved = mailing.client.patch(address, {"template": made["slug"], "context": {"name": "G", "more": "x"}}).json()
    assert (moved["template_version"]["number"], moved["content"]) == (2, {})
    own = mailing.client.patch(address, {"content": {"subject": "My own"}}).json()
    assert (own["template"], own["template_version"], own["content"]) == (None, None, {"subject": "My own"})


def test_sending_again_uses_the_same_version(
    mailing: Persona, make: Make, engine: Engine, mail_server: Sandbox
) -> None:
    made = make()
    record = send(mailing, made["slug"], {"name": "Ada"})
    engine.drain(mailing.tenant_id, "normal")
    mailing.client.patch(f"{TEMPLATES}{made['id']}/", {"content": {"subject": "New {{name}}"}})
    again = mailing.client.post(f"{RECORDS}{record['id']}/resend/").json()
    assert again["template_version"]["number"] == 1
    engine.drain(mailing.tenant_id, "normal")
    assert [mail["subject"] for mail in mail_server.messages()] == ["Hi Ada", "Hi Ada"]


def test_a_test_send_uses_samples_and_any_version(
    mailing: Persona, make: Make, engine: Engine, mail_server: Sandbox
) -> None:
    made = make(placeholders=[{"name": "name", "sample": "Sample Sue"}])
    mailing.client.patch(f"{TEMPLATES}{made['id']}/", {"content": {"subject": "Draft {{name}}"}, "publish": False})
    for version, subject in ((None, "Draft Sample Sue"), (1, "Hi Sample Sue")):
        body = {"recipient": "me@example.com", **({"version": version} if version else {})}
        answer = mailing.client.post(f"/api/v1/admin/templates/{made['slug']}/test-send", body)
        assert answer.status_code == 201, answer.json()
        assert answer.json()["metadata"] == {"test_send": made["slug"], "sampled": ["name"]}
        engine.drain(mailing.tenant_id, "normal")
        assert subject in {mail["subject"] for mail in mail_server.messages()}


def test_the_task_that_older_callers_use(mailing: Persona, engine: Engine, mail_server: Sandbox) -> None:
    said = {
        "tenant_id": str(mailing.tenant_id),
        "to_email": "user@example.com",
        "subject": "Interview Invitation",
        "template_key": "interviewScheduling",
        "context": {"Candidate Name": "John <Doe>", "Position": "Senior Developer", "Company": "Lumina Care"},
    }
    first = send_notification_email.apply(kwargs=said, task_id="one").get()
    assert send_notification_email.apply(kwargs=said, task_id="one").get() == first, "delivered twice, sent once"
    engine.drain(mailing.tenant_id, "normal")
    (mail,) = mail_server.messages()
    assert (mail["to"], mail["subject"]) == ("user@example.com", "Interview Invitation")
    assert "Dear John &lt;Doe&gt;," in mail["html"]
    assert "Lumina Care would like to talk with you about the position Senior Developer" in mail["text"].replace(
        "\n", " "
    )
    by_slug = {**said, "tenant_id": "acme", "subject": ""}
    send_notification_email.apply(kwargs=by_slug, task_id="two").get()
    engine.drain(mailing.tenant_id, "normal")
    assert "Interview invitation: Senior Developer" in {mail["subject"] for mail in mail_server.messages()}


def test_the_task_is_known_by_its_name() -> None:
    assert send_notification_email.name == "send_notification_email"


def test_an_unsubscribe_link_needs_no_value(mailing: Persona, make: Make, engine: Engine, mail_server: Sandbox) -> None:
    make(content={"subject": "Hi", "html": '<p><a href="{{ unsubscribe_url }}">Out</a></p>'}, placeholders=[])
    record = send(mailing, "interview-invite", {})
    engine.drain(mailing.tenant_id, "normal")
    (mail,) = mail_server.messages()
    assert "/u/" in mail["html"]
    assert record["status"] == "pending"


def test_a_version_of_another_tenant_is_not_there(mailing: Persona, stranger: Persona, make: Make) -> None:
    made = make()
    with tenant_scope(mailing.tenant_id):
        version_id = compiled_version_id(made["id"])
        assert compiled_version(version_id).slug == made["slug"]
    with tenant_scope(stranger.tenant_id), pytest.raises(Exception, match="no such version"):
        compiled_version(version_id)


def test_retention_of_a_template_is_no_matter_to_a_record(mailing: Persona, make: Make) -> None:
    made = make()
    record = send(mailing, made["slug"], {"name": "Ada"})
    mailing.client.delete(f"{TEMPLATES}{made['id']}/")
    with tenant_scope(mailing.tenant_id):
        stored = NotificationRecord.objects.get(id=record["id"])
    assert str(stored.template_version_id) == record["template_version"]["id"]
    assert mailing.client.get(f"{RECORDS}{record['id']}/").json()["template"] == made["slug"]


def compiled_version_id(template_id: str) -> Any:
    return MessageTemplate.objects.get(id=template_id).published_id
