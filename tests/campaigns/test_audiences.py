"""Who is meant: segments of earlier campaigns, people by a filter, devices, caps, variants, templates."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from notification_service.lib.ids import new_id
from notification_service.lib.scope import tenant_scope
from notifications.campaigns import sources
from notifications.campaigns.models import BUCKETS, Campaign, CampaignRecipient
from notifications.campaigns.staging import address_key
from notifications.campaigns.words import bucket_of, variant_of
from notifications.providers.base import Receipt as Report
from notifications.recipients import hooks
from notifications.recipients.models import Recipient
from notifications.recipients.preferences import set_preferences
from notifications.records import receipts
from notifications.records.engine import Engine
from notifications.templates.models import MessageTemplate, MessageTemplateVersion
from tenants.callers import system_caller
from tests.batches.conftest import upload, work
from tests.campaigns.conftest import (
    CAMPAIGNS,
    act,
    addresses,
    caught,
    change,
    create,
    draft,
    finish,
    load,
    look,
    people,
    records,
    rows,
    take_turns,
)
from tests.conftest import Persona
from tests.sandbox.conftest import Sandbox


def report(persona: Persona, record_id: object, state: str) -> None:
    """Report what a provider would."""
    with tenant_scope(persona.tenant_id):
        receipts.take_in(
            "sendgrid",
            new_id(),
            [Report(str(record_id), state, timezone.now(), record_id=record_id)],  # type: ignore[arg-type]
        )


@pytest.mark.django_db(transaction=True)
def test_a_segment_of_an_earlier_campaign(marketer: Persona, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "CHUNK", 2)
    first = create(
        marketer, recipients=[*people(5), {"recipient": "fail-permanent@example.com", "context": {"name": "R"}}]
    )
    act(marketer, first, "launch")
    assert finish(marketer, first, engine)["failed"] == 1
    by_address = {record.recipient: record.id for record in records(marketer, first)}
    for name, state in (("person0", "opened"), ("person0", "opened"), ("person1", "clicked"), ("person2", "bounced")):
        report(marketer, by_address[f"{name}@example.com"], state)
    progress = look(marketer, first)
    assert [progress[name] for name in ("delivered", "opened", "clicked", "bounced")] == [2, 2, 1, 1]
    for segment, expected in (
        ("all", {"person0", "person1", "person2", "person3", "person4", "fail-permanent"}),
        ("sent", {"person0", "person1", "person2", "person3", "person4"}),
        ("opened", {"person0", "person1"}),
        ("not_opened", {"person3", "person4"}),
        ("clicked", {"person1"}),
        ("not_clicked", {"person0", "person3", "person4"}),
        ("delivered", {"person0", "person1"}),
        ("bounced", {"person2"}),
        ("failed", {"fail-permanent"}),
    ):
        source = {"campaign": str(first), "segment": segment}
        second = create(marketer, recipients=..., segment=source, name=segment)
        take_turns(marketer, second)
        assert {row.address.partition("@")[0] for row in rows(marketer, second)} == expected, segment
        assert load(marketer, second).staging == "done"
    assert rows(marketer, second)[0].context == {"name": "R"}


def test_people_are_found_by_a_filter(sender: Persona, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "CHUNK", 2)
    with tenant_scope(sender.tenant_id):
        for number, city in enumerate(["Cork", "Cork", "Galway", "Cork", "Cork"]):
            Recipient.objects.create(
                tenant_id=sender.tenant_id,
                external_user_id=f"crm-{number}",
                name=f"Person {number}",
                email=f"person{number}@example.com" if number else "",
                time_zone="Europe/Dublin",
                metadata={"city": city},
            )
    body = {"recipient_filter": {"where": {"metadata.city": "Cork"}}, "recipients": ...}
    campaign_id = create(sender, content={"subject": "Hi {{user.name}}", "body": "From {{name}}"}, **body)
    take_turns(sender, campaign_id)
    found = rows(sender, campaign_id)
    assert [(row.user_id, row.state) for row in found] == [
        ("crm-0", "rejected"),
        ("crm-1", "staged"),
        ("crm-3", "staged"),
        ("crm-4", "staged"),
    ]
    assert (found[0].reason, found[1].timezone) == ("no_address", "Europe/Dublin")
    act(sender, campaign_id, "launch")
    take_turns(sender, campaign_id)
    assert len(records(sender, campaign_id)) == 3
    named = {"external_user_ids": ["crm-1"], "user_ids": [str(found[2].user_id)], "emails": ["PERSON4@example.com"]}
    other = create(sender, recipients=..., recipient_filter=named)
    take_turns(sender, other)
    assert [row.user_id for row in rows(sender, other)] == ["crm-1", "crm-3", "crm-4"]
    answer = sender.client.post(CAMPAIGNS, draft(recipients=..., recipient_filter={"where": {"shoe": 42}}))
    assert answer.status_code == 400
    assert sender.client.post(CAMPAIGNS, draft(recipients=..., recipient_filter={})).status_code == 400


def test_a_launch_may_come_before_everybody_is_staged(sender: Persona) -> None:
    first = create(sender)
    second = act(sender, first, "duplicate", {}, status=201)["id"]
    assert act(sender, second, "launch")["staging"] == "running"
    take_turns(sender, second)
    assert len(records(sender, second)) == 3


def test_people_get_push_messages_on_their_devices(sender: Persona) -> None:
    for name in ("phone", "tablet"):
        device = {"device_id": name, "platform": "ios", "token": f"a-token-of-a-{name}", "user_id": "ada"}
        assert sender.client.post("/api/notifications/devices/", device).status_code == 201
    to = [{"user_id": "ada", "context": {"name": "Ada"}}]
    campaign_id = create(sender, channel="push", content={"title": "Offer {{name}}!"}, recipients=to)
    assert [row.address for row in rows(sender, campaign_id)] == ["a-token-of-a-phone", "a-token-of-a-tablet"]
    answer = sender.client.post(
        CAMPAIGNS, draft(channel="push", content={"title": "Hi"}, recipients=[{"user_id": "bob"}])
    )
    assert answer.json()["errors"] == {"recipients.0.user_id": ["No active device of this person is registered."]}


def test_people_are_reached_where_they_are_known(sender: Persona) -> None:
    ada = {"external_user_id": "crm-1", "email": "ada@example.com", "phone": "+353861234567"}
    assert sender.client.post("/api/v1/users", ada).status_code == 201
    hi = {"content": {"body": "Hi"}, "recipients": [{"user_id": "crm-1"}]}
    for channel, content, address in (
        ("email", {"subject": "Hi"}, "ada@example.com"),
        ("sms", {"body": "Hi"}, "+353861234567"),
        ("inapp", {"title": "Hi"}, "crm-1"),
    ):
        campaign_id = create(sender, channel=channel, **{**hi, "content": content})
        assert [(row.address, row.user_id) for row in rows(sender, campaign_id)] == [(address, "crm-1")]
    stranger = {"recipients": [{"user_id": "crm-1"}, {"user_id": "crm-2"}], "content": {"subject": "Hi"}}
    answer = sender.client.post(CAMPAIGNS, draft(**stranger))
    assert (answer.status_code, answer.json()["errors"]) == (
        400,
        {"recipients.1.user_id": ["No address of this person is known for this channel."]},
    )


def test_who_had_enough_of_a_category_gets_no_more(sender: Persona) -> None:
    first = create(sender, category="news")
    act(sender, first, "launch")
    take_turns(sender, first)
    capped = {"frequency_cap": {"max": 1, "days": 7}, "recipients": people(5)}
    second = create(sender, category="news", **capped)
    act(sender, second, "launch")
    take_turns(sender, second)
    assert look(sender, second, "report")["suppressions"] == {"frequency_cap": 3}
    assert [record.provider_response for record in records(sender, second, status="suppressed")] == [
        "frequency_cap"
    ] * 3
    other = create(sender, category="offers", **capped)
    act(sender, other, "launch")
    take_turns(sender, other)
    assert look(sender, other)["withheld"] == 0
    with tenant_scope(sender.tenant_id):
        Campaign.objects.filter(id=second).delete()
        CampaignRecipient.objects.update(recorded_at=timezone.now() - timedelta(days=8))
    later = create(sender, category="news", **capped)
    act(sender, later, "launch")
    take_turns(sender, later)
    assert look(sender, later)["withheld"] == 0


VARIANTS: list[dict[str, Any]] = [
    {"name": "A", "weight": 3, "content": {"subject": "Apples, {{name}}", "body": "<p>A</p>"}},
    {"name": "B", "content": {"subject": "Berries, {{name}}", "body": "<p>B</p>"}},
]


def test_variants_are_given_by_weight_and_always_the_same(sender: Persona) -> None:
    campaign_id = create(sender, content=..., variants=VARIANTS, recipients=people(400))
    act(sender, campaign_id, "launch")
    take_turns(sender, campaign_id)
    found = rows(sender, campaign_id)
    share = sum(row.variant == "A" for row in found) / len(found)
    assert 0.65 < share < 0.85
    campaign = load(sender, campaign_id)
    assert all(row.variant == variant_of(campaign, bucket_of(campaign.id, bytes(row.address_key))) for row in found)
    subjects: dict[Any, str] = {record.id: record.content["subject"] for record in records(sender, campaign_id)}
    assert all(subjects[row.record_id].startswith("Apples" if row.variant == "A" else "Berries") for row in found)
    assert all(row.bucket < BUCKETS for row in found)


@pytest.mark.django_db(transaction=True)
def test_the_sample_decides_what_the_rest_gets(marketer: Persona, engine: Engine, mail_server: Sandbox) -> None:
    test = {"sample_percent": 50, "winner_by": "opens", "after_minutes": 30}
    equal = [{**each, "weight": 1} for each in VARIANTS]
    campaign_id = create(marketer, content=..., variants=equal, ab_test=test, recipients=people(40))
    act(marketer, campaign_id, "launch")
    take_turns(marketer, campaign_id)
    engine.drain(marketer.tenant_id, "bulk")
    sample = rows(marketer, campaign_id, state="recorded")
    assert 8 <= len(sample) <= 32
    due = load(marketer, campaign_id).winner_due_at
    assert due is not None
    assert due > timezone.now() + timedelta(minutes=29)
    for row in sample:
        if row.variant == "B":
            report(marketer, row.record_id, "opened")
    change(marketer, campaign_id, winner_due_at=timezone.now(), next_turn_at=timezone.now())
    progress = finish(marketer, campaign_id, engine)
    assert (progress["winner"], progress["sent"], progress["total"]) == ("B", 40, 40)
    rest = [row for row in rows(marketer, campaign_id) if row.id not in {each.id for each in sample}]
    assert rest
    assert {row.variant for row in rest} == {"B"}
    told = {each["name"]: each for each in look(marketer, campaign_id, "report")["variants"]}
    assert told["B"]["winner"]
    assert told["A"]["sent"] + told["B"]["sent"] == 40
    assert told["B"]["opened"] == sum(row.variant == "B" for row in sample)
    assert told["A"]["opened"] == 0
    assert len(addresses(mail_server)) == len(set(addresses(mail_server))) == 40


def test_rows_of_a_file_that_was_uploaded(sender: Persona) -> None:
    content = {"subject": "Hi {{name}}", "body": "x"}
    data = "recipient,name\nada@example.com,Ada\nnobody,Nobody\neve@example.com,Eve\nada@example.com,Again\n"
    answer = upload(sender.client, data, content=content, dry_run="true")
    assert answer.status_code == 202, answer.json()
    job_id = answer.json()["id"]
    campaign_id = create(sender, content=content, recipients=..., csv_job=job_id)
    for _ in range(3):  # it waits for the file
        change(sender, campaign_id, next_turn_at=timezone.now())
        take_turns(sender, campaign_id)
    assert load(sender, campaign_id).staging == "running"
    work(sender, job_id)
    change(sender, campaign_id, next_turn_at=timezone.now())
    take_turns(sender, campaign_id)
    assert load(sender, campaign_id).staging == "done"
    assert [(row.number, row.address, row.context["name"]) for row in rows(sender, campaign_id)] == [
        (2, "ada@example.com", "Ada"),
        (4, "eve@example.com", "Eve"),
    ]
    act(sender, campaign_id, "launch")
    take_turns(sender, campaign_id)
    assert len(records(sender, campaign_id)) == 2


def test_a_file_that_is_not_there_or_of_another_channel_is_refused(sender: Persona, stranger: Persona) -> None:
    job_id = upload(sender.client, "recipient,name,code\nada@example.com,Ada,1\n", dry_run="true").json()["id"]
    for persona, changes in ((stranger, {}), (sender, {"channel": "sms", "content": {"body": "Hi"}})):
        answer = persona.client.post(CAMPAIGNS, draft(recipients=..., csv_job=job_id, **changes))
        assert answer.status_code == 400
        assert "csv_job" in answer.json()["errors"]


def publish(persona: Persona, subject: str) -> None:
    """Publish a new version of the template ``promo``."""
    content = {"subject": subject, "text": "Dear {{name}}"}
    with tenant_scope(persona.tenant_id):
        template, _ = MessageTemplate.objects.get_or_create(
            tenant_id=persona.tenant_id, slug="promo", defaults={"name": "Promo", "channel": "email"}
        )
        template.published = MessageTemplateVersion.objects.create(
            tenant_id=persona.tenant_id,
            template=template,
            number=template.versions.count() + 1,
            content=content,
            compiled={"": content},
            checksum=subject,
        )
        template.save()


@pytest.mark.django_db(transaction=True)
def test_a_template_is_pinned_at_the_launch(marketer: Persona, engine: Engine, mail_server: Sandbox) -> None:
    publish(marketer, "Draft {{name}}")
    body = {"content": ..., "template": "promo"}
    answer = marketer.client.post(CAMPAIGNS, draft(**{**body, "recipients": ["ada@example.com"]}))
    assert "recipients.0.context.name" in answer.json()["errors"]
    campaign_id = create(marketer, **body)
    publish(marketer, "Launched {{name}}")
    act(marketer, campaign_id, "launch")
    publish(marketer, "Later {{name}}")
    assert finish(marketer, campaign_id, engine)["sent"] == 3
    subjects = sorted(message["subject"] for message in caught(mail_server))
    assert subjects == [f"Launched Person {n}" for n in range(3)]


def test_variants_may_be_templates(sender: Persona) -> None:
    publish(sender, "First {{name}}")
    variants = [{"name": "A", "template": "promo"}, {"name": "B", "content": {"subject": "B {{name}}"}}]
    campaign_id = create(sender, content=..., variants=variants, recipients=people(20))
    act(sender, campaign_id, "launch")
    take_turns(sender, campaign_id)
    kinds = {(record.template_version_id is None, bool(record.content)) for record in records(sender, campaign_id)}
    assert kinds == {(True, True), (False, False)}
    both = [{"name": "A", "template": "promo", "content": {"subject": "x"}}, variants[1]]
    answer = sender.client.post(CAMPAIGNS, draft(content=..., variants=both))
    assert "variants.0.content" in answer.json()["errors"]
    unknown = [{"name": "A", "template": "lost"}, variants[1]]
    assert "variants.0.template" in sender.client.post(CAMPAIGNS, draft(content=..., variants=unknown)).json()["errors"]


def test_what_people_prefer_is_heeded(sender: Persona) -> None:
    now = timezone.now()
    begins, ends = (now - timedelta(hours=1)).time(), (now + timedelta(hours=1)).time()
    quiet = {"start": begins.replace(microsecond=0), "end": ends.replace(microsecond=0), "time_zone": "UTC"}
    with tenant_scope(sender.tenant_id):
        caller = system_caller(sender.tenant_id, "test")
        set_preferences(caller, "ada", categories={"news": {"email": False}})
        set_preferences(caller, "bob", quiet_hours=quiet)
    to = [{**one, "user_id": who} for one, who in zip(people(3), ("ada", "bob", "eve"), strict=True)]
    campaign_id = create(sender, category="news", recipients=to)
    act(sender, campaign_id, "launch")
    take_turns(sender, campaign_id)
    found = {record.user_id: record for record in records(sender, campaign_id)}
    assert (found["ada"].status, found["ada"].provider_response) == ("suppressed", "preference:news:email")
    assert found["bob"].due_at > timezone.now() + timedelta(minutes=58)
    assert found["eve"].due_at <= timezone.now()
    assert look(sender, campaign_id, "report")["suppressions"] == {"preference:news:email": 1}


def test_who_is_erased_leaves_nothing_but_numbers(sender: Persona) -> None:
    to = [{**one, "user_id": f"crm-{number}"} for number, one in enumerate(people(2))]
    campaign_id = create(sender, recipients=to)
    without_id = create(sender, recipients=[{"recipient": "PERSON0@example.com", "context": {"name": "P"}}])
    known = hooks.KnownAs(("crm-0",), ("person0@example.com",))
    with tenant_scope(sender.tenant_id):
        assert [each["campaign_id"] for each in hooks.export(known)["campaigns"]] == [campaign_id, without_id]
        hooks.erased(known)
    assert [row.address for row in rows(sender, without_id)] == [""]
    first, second = rows(sender, campaign_id)
    assert (first.address, first.user_id, first.context, first.state) == ("", "", {}, "cancelled")
    assert (second.address, second.state) == ("person1@example.com", "staged")
    assert bytes(first.address_key) != address_key("email", "person0@example.com")
    act(sender, campaign_id, "launch")
    take_turns(sender, campaign_id)
    progress = look(sender, campaign_id)
    assert (progress["recorded"], progress["cancelled"], progress["total"]) == (1, 1, 2)
