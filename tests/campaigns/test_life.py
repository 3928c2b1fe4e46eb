"""From a draft to the last message: created, launched, sent once to each, reported."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from notifications.campaigns.api import shapes
from notifications.records.engine import Engine
from tests.campaigns.conftest import (
    CAMPAIGNS,
    act,
    addresses,
    caught,
    create,
    draft,
    finish,
    look,
    people,
    records,
    rows,
)
from tests.conftest import Persona
from tests.sandbox.conftest import Sandbox


@pytest.mark.django_db(transaction=True)
def test_a_campaign_is_sent_once_to_each(marketer: Persona, engine: Engine, mail_server: Sandbox) -> None:
    again = {"recipient": "PERSON1@example.com", "context": {"name": "Twice"}}
    campaign_id = create(marketer, recipients=[*people(5), again])
    assert look(marketer, campaign_id)["duplicates"] == 1
    assert caught(mail_server) == []
    assert act(marketer, campaign_id, "launch")["status"] == "sending"
    progress = finish(marketer, campaign_id, engine)
    assert (progress["status"], progress["sent"], progress["total"], progress["waiting"]) == ("completed", 5, 5, 0)
    assert progress["percent"] == 100.0
    assert addresses(mail_server) == [f"person{n}@example.com" for n in range(5)]
    report = look(marketer, campaign_id, "report")
    assert (report["sent"], report["failed"], report["duplicates"], report["failures"]) == (5, 0, 1, {})


def test_what_is_missing_or_wrong_is_named(sender: Persona) -> None:
    for changes, field in (
        ({"recipients": [*people(1), {"recipient": "nobody"}]}, "recipients.1.recipient"),
        ({"recipients": [{"recipient": "ada@example.com"}]}, "recipients.0.context.name"),
        (
            {"recipients": [{"recipient": "a@b.example", "context": {"name": "A"}, "timezone": "Mars"}]},
            "recipients.0.timezone",
        ),
        ({"content": {"subject": "{{"}}, "content.subject"),
        ({"content": ...}, "content"),
        ({"template": "promo"}, "template"),
        ({"content": ..., "template": "promo"}, "template"),
        ({"channel": "smoke"}, "channel"),
        ({"name": ...}, "name"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"frequency_cap": {"max": 1, "days": 7}}, "category"),
        ({"ab_test": {"sample_percent": 10, "winner_by": "opens", "after_minutes": 5}}, "ab_test"),
        ({"content": ..., "variants": [{"name": "A", "content": {"subject": "Hi"}}]}, "variants"),
        ({"segment": {"campaign": "01a1f945-17a8-70a7-a3c8-1a9deeb10f4a", "segment": "opened"}}, "segment"),
        ({"throttle": 60}, "throttle"),
        ({"window": {"start": "09:00", "end": "18:00", "day": [1]}}, "window.day"),
        ({"window": {"start": "9:00", "end": "18:00"}}, "window.start"),
        ({"recipients": ..., "recipient_filter": {"where": {"shoe": 41}}}, "recipient_filter.where.shoe"),
        (
            {"recipients": ..., "recipient_filter": {"where": {f"metadata{'.a' * 2000}": 1}}},
            "recipient_filter.where.metadata" + ".a" * 28,
        ),
    ):
        answer = sender.client.post(CAMPAIGNS, draft(**changes))
        assert answer.status_code == 400, (changes, answer.json())
        assert field in answer.json()["errors"], (changes, answer.json())
    assert sender.client.get(CAMPAIGNS).json()["count"] == 0


def test_the_shape_of_each_recipient_is_checked(sender: Persona) -> None:
    wrong = [7, {"recipient": 5}, {"context": {}}, {"recipient": "a@example.com", "colour": "red"}]
    answer = sender.client.post(CAMPAIGNS, draft(recipients=wrong))
    assert answer.status_code == 400
    assert [name.partition(".")[2] for name in answer.json()["errors"]] == [
        "0",
        "1.recipient",
        "2.recipient",
        "3.colour",
    ]


def test_without_recipients_or_credential_nothing_is_launched(admin: Persona, sender: Persona) -> None:
    empty = create(sender, recipients=[])
    assert act(sender, empty, "launch", status=409)["code"] == "no_recipients"
    act(sender, empty, "recipients", {"recipients": people(2)}, status=201)
    assert act(sender, empty, "launch")["status"] == "sending"
    text = create(sender, channel="sms", content={"body": "Hi"}, recipients=["+353861234567"])
    assert act(sender, text, "launch", status=409)["code"] == "no_credential"


def test_what_can_not_be_changed_is_not_passed_over(sender: Persona) -> None:
    url = f"{CAMPAIGNS}{create(sender)}/"
    for changes in ({"recipients": people(1)}, {"channel": "sms"}, {"scheduled_at": "2030-01-01T00:00:00Z"}):
        answer = sender.client.patch(url, changes)
        assert (answer.status_code, list(answer.json()["errors"])) == (400, list(changes))


def test_a_campaign_that_is_over_says_so_when_it_is_launched_again(marketer: Persona, engine: Engine) -> None:
    campaign_id = create(marketer)
    act(marketer, campaign_id, "cancel")
    refused = act(marketer, campaign_id, "launch", status=409)
    assert (refused["code"], refused["detail"]) == ("wrong_status", "A campaign that is cancelled can not be launched.")


def test_a_draft_can_be_changed_and_forgotten(sender: Persona) -> None:
    campaign_id = create(sender)
    url = f"{CAMPAIGNS}{campaign_id}/"
    answer = sender.client.patch(url, {"name": "Better", "throttle_per_minute": 60})
    assert (answer.status_code, answer.json()["name"], answer.json()["throttle_per_minute"]) == (200, "Better", 60)
    assert sender.client.patch(url, {"content": {"colour": "red"}}).status_code == 400
    assert sender.client.delete(url).status_code == 204
    assert sender.client.get(url).status_code == 404
    assert sender.client.get(CAMPAIGNS).json()["count"] == 0


def test_one_kind_of_words_takes_the_place_of_the_other(sender: Persona) -> None:
    url = f"{CAMPAIGNS}{create(sender)}/"
    variants = [{"name": name, "content": {"subject": f"{name} {{{{name}}}}"}} for name in "AB"]
    changed = sender.client.patch(url, {"variants": variants}).json()
    assert (changed["content"], [each["weight"] for each in changed["variants"]]) == ({}, [1, 1])
    changed = sender.client.patch(url, {"content": {"subject": "Hi"}}).json()
    assert (changed["content"], changed["variants"]) == ({"subject": "Hi"}, [])
    both = {"content": {"subject": "Hi"}, "variants": variants}
    assert sender.client.patch(url, both).status_code == 400
    assert "window.end" in sender.client.patch(url, {"window": {"start": "09:00"}}).json()["errors"]


def test_the_example_of_the_documentation_makes_a_draft(sender: Persona) -> None:
    answer = sender.client.post(CAMPAIGNS, shapes.EXAMPLE)
    assert answer.status_code == 201, answer.json()
    assert (answer.json()["status"], answer.json()["counts"]["staged"]) == ("draft", 1)
    assert answer["Location"] == f"{CAMPAIGNS}{answer.json()['id']}/"


def test_who_may_only_read_can_not_send(sender: Persona, make_persona: Callable[..., Persona]) -> None:
    campaign_id = create(sender)
    employee = make_persona(sender.tenant, "employee")
    assert employee.client.get(CAMPAIGNS).status_code == 403
    assert act(employee, campaign_id, "launch", status=403)["code"] == "permission_denied"


def test_what_is_sent_can_not_be_changed(sender: Persona) -> None:
    campaign_id = create(sender)
    act(sender, campaign_id, "launch")
    url = f"{CAMPAIGNS}{campaign_id}/"
    assert sender.client.patch(url, {"name": "Better"}).json()["code"] == "wrong_status"
    assert sender.client.delete(url).json()["code"] == "wrong_status"
    assert act(sender, campaign_id, "recipients", {"recipients": people(1, 9)}, status=409)["code"] == "wrong_status"
    assert act(sender, campaign_id, "launch", status=409)["code"] == "wrong_status"
    assert act(sender, campaign_id, "resume", status=409)["code"] == "wrong_status"


@pytest.mark.django_db(transaction=True)
def test_a_copy_has_the_same_words_and_recipients(marketer: Persona, engine: Engine, mail_server: Sandbox) -> None:
    first = create(marketer, category="news")
    act(marketer, first, "launch")
    finish(marketer, first, engine)
    copy = act(marketer, first, "duplicate", {}, status=201)
    assert (copy["name"], copy["status"], copy["category"]) == ("Copy of Promo", "draft", "news")
    act(marketer, copy["id"], "launch")
    assert finish(marketer, copy["id"], engine)["sent"] == 3
    assert len(caught(mail_server)) == 6


def test_a_test_goes_to_those_who_are_named(sender: Persona) -> None:
    campaign_id = create(sender)
    made = act(sender, campaign_id, "test-send", {"recipients": ["me@acme.example"]}, status=201)["records"]
    assert [(one["recipient"], one["context"]["name"]) for one in made] == [("me@acme.example", "Person 0")]
    made = act(
        sender, campaign_id, "test-send", {"recipients": ["me@acme.example"], "context": {"name": "Me"}}, status=201
    )
    assert made["records"][0]["context"]["name"] == "Me"
    assert records(sender, campaign_id) == []
    answer = act(sender, campaign_id, "test-send", {"recipients": ["nobody"]}, status=400)
    assert "recipient" in answer["errors"]


@pytest.mark.django_db(transaction=True)
def test_who_must_not_be_written_to_is_withheld_with_the_reason(
    marketer: Persona, engine: Engine, mail_server: Sandbox
) -> None:
    barred = {"channel": "email", "address": "person1@example.com"}
    assert marketer.client.post("/api/notifications/suppressions/", barred).status_code == 201
    campaign_id = create(marketer)
    act(marketer, campaign_id, "launch")
    progress = finish(marketer, campaign_id, engine)
    assert (progress["sent"], progress["withheld"], progress["recorded"]) == (2, 1, 2)
    assert look(marketer, campaign_id, "report")["suppressions"] == {"manual": 1}
    withheld = rows(marketer, campaign_id, state="withheld")
    assert [(row.address, row.reason) for row in withheld] == [("person1@example.com", "manual")]
    assert addresses(mail_server) == ["person0@example.com", "person2@example.com"]


@pytest.mark.django_db(transaction=True)
def test_the_list_of_recipients_says_what_became_of_each(marketer: Persona, engine: Engine) -> None:
    campaign_id = create(marketer, recipients=people(5))
    act(marketer, campaign_id, "launch")
    finish(marketer, campaign_id, engine)
    page = look(marketer, campaign_id, "recipients")
    assert {(row["state"], row["status"]) for row in page["results"]} == {("recorded", "success")}
    assert len(page["results"]) == 5
    url = f"{CAMPAIGNS}{campaign_id}/recipients/"
    page = marketer.client.get(url, {"page_size": 2}).json()
    assert len(page["results"]) == 2
    assert len(marketer.client.get(page["next"]).json()["results"]) == 2
    assert marketer.client.get(url, {"state": "rejected"}).json()["results"] == []
    assert len(marketer.client.get(url, {"recipient": "person2@example.com"}).json()["results"]) == 1


def test_another_tenant_sees_and_moves_nothing(sender: Persona, stranger: Persona) -> None:
    campaign_id = create(sender)
    assert stranger.client.get(CAMPAIGNS).json()["count"] == 0
    url = f"{CAMPAIGNS}{campaign_id}/"
    for path in ("", "progress/", "recipients/", "report/", "report.csv"):
        assert stranger.client.get(url + path).status_code == 404, path
    for verb in ("launch", "pause", "resume", "cancel", "duplicate"):
        assert stranger.client.post(f"{url}{verb}/", {}).status_code == 404, verb
    body = {"segment": {"campaign": str(campaign_id), "segment": "all"}, "recipients": ...}
    assert stranger.client.post(CAMPAIGNS, draft(**body)).status_code == 400


def test_the_list_can_be_filtered(sender: Persona) -> None:
    create(sender)
    launched = create(sender, name="Other")
    act(sender, launched, "launch")

    def find(**query: str) -> list[str]:
        return [one["name"] for one in sender.client.get(CAMPAIGNS, query).json()["results"]]

    assert find(status="sending") == ["Other"]
    assert find(status="draft,sending") == ["Other", "Promo"]
    assert find(search="prom") == ["Promo"]
    assert sender.client.get(CAMPAIGNS, {"status": "lost"}).status_code == 400
