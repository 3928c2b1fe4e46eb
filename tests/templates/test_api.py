"""Templates over HTTP: made, changed, versioned, compared, published, restored, deleted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from notification_service.lib.scope import tenant_scope
from notifications.templates.models import MessageTemplate, MessageTemplateVersion
from tests.conftest import Persona
from tests.templates.conftest import INVITE, TEMPLATES, Make


def test_the_specifications_example(admin: Persona) -> None:
    answer = admin.client.post(TEMPLATES, INVITE)
    body = answer.json()
    assert answer.status_code == 201, body
    assert (body["name"], body["slug"], body["channel"]) == ("Interview Invite", "interview-invite", "email")
    assert (body["version"], body["published_version"], body["status"]) == (1, 1, "published")
    assert (body["content"], body["source"]) == (INVITE["content"], "tenant")
    assert [each["name"] for each in body["placeholders"]] == ["name"]
    assert body["created_by"] == admin.user.email
    assert answer.headers["Location"] == f"{TEMPLATES}{body['id']}/"
    for key in (body["id"], "interview-invite"):
        assert admin.client.get(f"{TEMPLATES}{key}/").json() == body
        assert admin.client.get(f"/api/v1/admin/templates/{key}").json() == body


@pytest.mark.parametrize(
    "declared",
    [["{{candidate_name}}"], ["candidate_name"], ["{{ candidate_name | upper }}"], [{"name": "candidate_name"}], []],
    ids=str,
)
def test_placeholders_are_found_however_they_are_declared(make: Make, declared: list[Any]) -> None:
    made = make(content={"subject": "Hi {{ candidate_name }}"}, placeholders=declared)
    assert [each["name"] for each in made["placeholders"]] == ["candidate_name"]


def test_types_samples_and_defaults_are_kept(make: Make) -> None:
    declared = {"name": "amount", "type": "number", "sample": 5, "required": False, "default": 1}
    made = make(content={"subject": "{{ amount }} {{ Candidate Name }}"}, placeholders=[declared])
    assert made["placeholders"][0] == declared
    assert (made["placeholders"][1]["name"], made["placeholders"][1]["required"]) == ("Candidate Name", True)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"channel": "pigeon"}, "channel"),
        ({"content": {"subject": "{{ name"}}, "content.subject"),
        ({"content": {"subject": "{% if x %}"}}, "content.subject"),
        ({"content": {"subject": "{{ name | explode }}"}}, "content.subject"),
        ({"content": {"subject": "{% include 'x' %}"}}, "content.subject"),
        ({"content": {"colour": "red"}}, "content.colour"),
        ({"content": {}}, "content.subject"),
        ({"variants": {"de": {"subject": "{{"}}}, "variants.de.subject"),
        ({"variants": {"german!": {"subject": "x"}}}, "variants.german!"),
        ({"variants": {"de": "x"}}, "variants.de"),
        ({"placeholders": ["other"]}, "placeholders.0"),
        ({"placeholders": ["name", "{{name}}"]}, "placeholders.1"),
        ({"placeholders": [{"name": "name", "type": "colour"}]}, "placeholders.0"),
        ({"placeholders": [{"name": "name", "type": "number", "sample": "many"}]}, "placeholders.0"),
        ({"placeholders": [7]}, "placeholders.0"),
        ({"slug": "with spaces"}, "slug"),
        ({"category": "gossip"}, "category"),
        ({"layout": "nowhere"}, "layout"),
        ({"locale": "Klingon!"}, "locale"),
        ({"content": {"mjml": "<mjml><mj-body></mjml>"}}, "content.mjml"),
        ({"content": {"subject": "x", "mjml": "<mjml></mjml>", "html": "<p>x</p>"}}, "content.mjml"),
    ],
    ids=str,
)
def test_what_is_refused_names_its_field(admin: Persona, changes: dict[str, Any], field: str) -> None:
    answer = admin.client.post(TEMPLATES, {**INVITE, "placeholders": [], **changes})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field]), answer.json()


def test_a_slug_is_unique_and_a_name_is_not(admin: Persona, make: Make) -> None:
    assert make()["slug"] == "interview-invite"
    assert make()["slug"] == "interview-invite-2"
    answer = admin.client.post(TEMPLATES, {**INVITE, "slug": "interview-invite"})
    assert (answer.status_code, answer.json()["code"]) == (409, "slug_taken")


def test_another_tenant_may_use_the_same_slug(make: Make, stranger: Persona) -> None:
    made = make(slug="mine")
    assert stranger.client.post(TEMPLATES, {**INVITE, "slug": "mine"}).status_code == 201
    assert stranger.client.get(f"{TEMPLATES}{made['id']}/").status_code == 404


def test_the_wrong_tenant_sees_and_changes_nothing(make: Make, stranger: Persona) -> None:
    made = make()
    shown = stranger.client.get(TEMPLATES, {"page_size": 500}).json()["results"]
    assert made["id"] not in {each["id"] for each in shown}
    assert {each["source"] for each in shown} == {"system"}
    for method in ("get", "delete"):
        assert getattr(stranger.client, method)(f"{TEMPLATES}{made['id']}/").status_code == 404
    assert stranger.client.patch(f"{TEMPLATES}{made['id']}/", {"name": "Theirs"}).status_code == 404
    for verb in ("preview", "publish", "restore/1", "test-send"):
        body = {"recipient": "eve@example.com"} if verb == "test-send" else {}
        answer = stranger.client.post(f"{TEMPLATES}{made['id']}/{verb}/", body)
        assert answer.status_code == 404, verb


def test_who_may_only_send_can_read_and_not_write(tenant: Any, make_persona: Any, make: Make) -> None:
    made = make()
    customer = make_persona(tenant, "customer")
    assert customer.client.get(TEMPLATES).status_code == 403
    assert customer.client.post(TEMPLATES, INVITE).status_code == 403
    hr = make_persona(tenant, "hr")
    assert hr.client.get(f"{TEMPLATES}{made['id']}/").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_several_who_write_at_the_same_moment_wait_for_each_other(admin: Persona, make: Make) -> None:
    address = f"{TEMPLATES}{make(name='Together')['id']}/"

    def change(number: int) -> tuple[int, Any]:
        try:
            answer = admin.client.patch(address, {"content": {"subject": f"{number} {{{{name}}}}"}})
            return answer.status_code, answer.json().get("version")
        finally:
            connection.close()

    def create(_: int) -> tuple[int, Any]:
        try:
            answer = admin.client.post(TEMPLATES, {**INVITE, "name": "Together"})
            return answer.status_code, answer.json().get("slug")
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(change, range(6))) == [(200, number) for number in range(2, 8)]
        assert sorted(threads.map(create, range(6))) == [(201, f"together-{number}") for number in range(2, 8)]


def test_every_change_of_words_is_a_version(admin: Persona, make: Make) -> None:
    address = f"{TEMPLATES}{make()['id']}/"
    content = {"subject": "Hello {{name}}", "body": "<p>See you, {{ name }}.</p>"}
    changed = admin.client.patch(address, {"content": content, "comment": "friendlier"}).json()
    assert (changed["version"], changed["published_version"], changed["content"]) == (2, 2, content)
    assert admin.client.patch(address, {"content": content}).json()["version"] == 2, "nothing has changed"
    assert admin.client.patch(address, {"description": "x"}).json()["version"] == 2, "its words have not"
    draft = admin.client.patch(address, {"content": {"subject": "{{name}}?"}, "publish": False}).json()
    assert (draft["version"], draft["published_version"], draft["status"]) == (3, 2, "changed")
    versions = admin.client.get(f"{address}versions/").json()
    assert [(each["number"], each["comment"]) for each in versions["results"]] == [(3, ""), (2, "friendlier"), (1, "")]
    assert admin.client.get(f"{address}versions/1/").json()["content"] == INVITE["content"]
    published = admin.client.post(f"{address}publish/").json()
    assert (published["published_version"], published["status"]) == (3, "published")
    back = admin.client.post(f"{address}publish/", {"version": 1}).json()
    assert (back["version"], back["published_version"]) == (3, 1)
    assert admin.client.post(f"{address}publish/", {"version": 9}).status_code == 404


def test_a_put_is_the_whole_template(admin: Persona, make: Make) -> None:
    made = make(description="Long", variants={"de": {"subject": "Hallo {{name}}"}})
    answer = admin.client.put(f"{TEMPLATES}{made['id']}/", {"name": "New", "content": {"subject": "{{ other }}"}})
    body = answer.json()
    assert answer.status_code == 200, body
    assert (body["name"], body["description"], body["variants"]) == ("New", "", {})
    assert [each["name"] for each in body["placeholders"]] == ["other"]


@pytest.mark.parametrize("change", [{"channel": "sms"}, {"slug": "other"}, {"kind": "layout"}], ids=str)
def test_what_callers_know_it_by_stays(admin: Persona, make: Make, change: dict[str, str]) -> None:
    answer = admin.client.patch(f"{TEMPLATES}{make()['id']}/", change)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, list(change))


def test_differences_between_versions(admin: Persona, make: Make) -> None:
    address = f"{TEMPLATES}{make()['id']}/"
    admin.client.patch(address, {"content": {"subject": "Hello {{name}}", "body": "<p>See you, {{ name }}.</p>"}})
    diff = admin.client.get(f"{address}versions/1/diff/2/").json()
    assert diff == {
        "before": 1,
        "after": 2,
        "changes": [
            {
                "field": "content.subject",
                "before": "Hi {{name}}",
                "after": "Hello {{name}}",
                "lines": ["@@ -1 +1 @@", "-Hi {{name}}", "+Hello {{name}}"],
            }
        ],
    }
    assert admin.client.get(f"{address}versions/1/diff/7/").status_code == 404


def test_an_earlier_version_comes_back_as_a_new_one(admin: Persona, make: Make) -> None:
    address = f"{TEMPLATES}{make()['id']}/"
    admin.client.patch(address, {"content": {"subject": "{{name}}!"}})
    restored = admin.client.post(f"{address}restore/1/").json()
    assert (restored["version"], restored["published_version"], restored["content"]) == (3, 3, INVITE["content"])
    waiting = admin.client.post(f"{address}restore/2/", {"publish": False}).json()
    assert (waiting["version"], waiting["published_version"]) == (4, 3)


def test_a_version_is_never_changed(admin: Persona, make: Make) -> None:
    made = make()
    with tenant_scope(admin.tenant_id):
        before = MessageTemplateVersion.objects.filter(template=made["id"]).values().get()
    admin.client.patch(f"{TEMPLATES}{made['id']}/", {"content": {"subject": "{{name}}!"}})
    admin.client.post(f"{TEMPLATES}{made['id']}/restore/1/")
    with tenant_scope(admin.tenant_id):
        assert MessageTemplateVersion.objects.filter(template=made["id"], number=1).values().get() == before


def test_deleting(admin: Persona, make: Make) -> None:
    address = f"{TEMPLATES}{make()['id']}/"
    assert admin.client.delete(address).status_code == 204
    assert admin.client.get(address).status_code == 404
    assert make()["slug"] == "interview-invite", "its slug is free again"


def test_lists_are_filtered_and_the_tenants_own_come_first(admin: Persona, make: Make) -> None:
    made = make(category="recruiting")
    page = admin.client.get(TEMPLATES).json()
    assert page["results"][0]["id"] == made["id"]
    assert page["count"] > 40
    for query in ({"search": "invite", "source": "tenant"}, {"slug": made["slug"]}):
        assert [each["id"] for each in admin.client.get(TEMPLATES, query).json()["results"]] == [made["id"]]
    sms = admin.client.get(TEMPLATES, {"channel": "sms"}).json()["results"]
    assert sms
    assert {each["channel"] for each in sms} == {"sms"}


def test_a_list_costs_the_same_however_long_it_is(
    admin: Persona, make: Make, django_assert_max_num_queries: Any
) -> None:
    make()
    admin.client.get(TEMPLATES)
    with django_assert_max_num_queries(12):
        assert len(admin.client.get(TEMPLATES, {"page_size": 100}).json()["results"]) > 40


def test_two_rows_of_a_slug_can_not_be_written(admin: Persona, make: Make) -> None:
    made = make()
    with tenant_scope(admin.tenant_id), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM message_template WHERE slug = %s", [made["slug"]])
        assert cursor.fetchone()[0] == 1
        assert MessageTemplate.objects.get(slug=made["slug"]).latest is not None


def test_a_misspelt_field_is_refused_and_what_was_read_may_be_sent_back(admin: Persona, make: Make) -> None:
    refused = admin.client.post(TEMPLATES, {**INVITE, "varients": {}})
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["varients"])
    address = f"{TEMPLATES}{make()['id']}/"
    read = admin.client.get(address).json()
    answer = admin.client.put(address, {**read, "content": {"subject": "Dear {{name}}"}})
    assert (answer.status_code, answer.json()["version"]) == (200, 2), answer.json()


@pytest.mark.parametrize("declared", [{"sample": "a\0b"}, {"type": ["string"]}, {"type": {"a": 1}}], ids=str)
def test_a_declaration_that_can_not_be_kept_is_refused(admin: Persona, declared: dict[str, Any]) -> None:
    answer = admin.client.post(TEMPLATES, {**INVITE, "placeholders": [{"name": "name", **declared}]})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["placeholders.0"])


def test_an_address_with_a_null_character_is_nobodys(admin: Persona) -> None:
    assert admin.client.get(f"{TEMPLATES}a%00b/").status_code == 404


def test_a_language_that_is_given_twice_is_refused(admin: Persona) -> None:
    twice = {"pt_br": {"subject": "Oi"}, "pt-BR": {"subject": "Olá"}}
    answer = admin.client.post(TEMPLATES, {**INVITE, "placeholders": [], "variants": twice})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["variants.pt-BR"])


def test_only_what_has_a_value_by_itself_is_no_placeholder(make: Make) -> None:
    """``content`` is a layout's; a brand has what the branding has, and a caller may have a brand of another kind."""
    made = make(
        content={"subject": "{{ content }}", "body": "{{ brand.name }} {{ brand.model }} {{ unsubscribe_url }}"},
        placeholders=["content"],
    )
    assert [each["name"] for each in made["placeholders"]] == ["content", "brand.model"]
