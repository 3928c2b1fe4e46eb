"""A message is about what its template is about, unless its sender says otherwise; preferences count for that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from notification_service.lib.scope import tenant_scope
from notifications.credentials.models import Credential
from notifications.records.models import NotificationRecord
from tests.batches.conftest import SERVICES, table, upload, uploads_directory, work  # noqa: F401 - fixture
from tests.campaigns.conftest import CAMPAIGNS, act, create, look, take_turns
from tests.conftest import Persona
from tests.records.conftest import make_credential  # noqa: F401 - fixture

pytestmark = pytest.mark.django_db(transaction=True)

TEMPLATE = {
    "name": "Gossip",
    "slug": "gossip",
    "channel": "email",
    "category": "gossip",
    "content": {"subject": "Hi {{name}}", "body": "<p>Heard of {{code}}?</p>"},
}
CONTEXT = {"name": "Ada", "code": "7"}
BARRED = "person1@example.com"


@pytest.fixture
def gossip(admin: Persona, make_credential: Callable[..., Credential]) -> Persona:  # noqa: F811
    """An admin whose tenant has a template of the category ``gossip``, which person1 wants nothing of."""
    make_credential(admin.tenant, 9)
    suppression = {"channel": "email", "address": BARRED, "category": "gossip"}
    for path, body in (
        ("/api/v1/categories", {"key": "gossip"}),
        ("/api/notifications/templates/", TEMPLATE),
        ("/api/notifications/suppressions/", suppression),
    ):
        answer = admin.client.post(path, body)
        assert answer.status_code == 201, answer.json()
    return admin


def results(persona: Persona, **conditions: Any) -> dict[str, tuple[str, Any]]:
    """Return status and category of the tenant's records by recipient."""
    with tenant_scope(persona.tenant_id):
        found = NotificationRecord.objects.filter(**conditions)
        return {each.recipient: (str(each.status), each.metadata.get("category")) for each in found}


def change_template(persona: Persona) -> None:
    answer = persona.client.patch("/api/notifications/templates/gossip/", {"category": "social"})
    assert answer.status_code == 200, answer.json()


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"template": "gossip"}, ("suppressed", "gossip")),
        ({"template": "gossip", "metadata": {"order": 1}}, ("suppressed", "gossip")),
        ({"template": "gossip", "metadata": {"category": "billing"}}, ("pending", "billing")),
        ({"content": TEMPLATE["content"]}, ("pending", None)),
    ],
    ids=["template", "other metadata", "its own category", "no template"],
)
def test_a_single_message(gossip: Persona, more: dict[str, Any], expected: tuple[str, Any]) -> None:
    body = {"channel": "email", "recipient": BARRED, "context": CONTEXT, **more}
    assert gossip.client.post("/api/notifications/records/", body).status_code == 201
    assert results(gossip) == {BARRED: expected}


def test_preferences_by_the_templates_category(gossip: Persona) -> None:
    answer = gossip.client.post("/api/v1/users", {"external_user_id": "crm-1", "email": "ada@example.com"})
    path = f"/api/v1/users/{answer.json()['id']}/preferences"
    assert gossip.client.put(path, {"categories": {"gossip": {"email": False}}}).status_code == 200
    sent = {"channel": "email", "recipient": "ada@example.com", "user_id": "crm-1", "context": CONTEXT}
    assert gossip.client.post("/api/notifications/records/", {**sent, "template": "gossip"}).status_code == 201
    assert results(gossip) == {"ada@example.com": ("suppressed", "gossip")}


def test_a_message_that_is_changed_to_a_template(gossip: Persona) -> None:
    body = {"channel": "email", "recipient": "a@example.com", "context": CONTEXT, "content": TEMPLATE["content"]}
    later = {**body, "scheduled_at": "2027-01-01T00:00:00Z", "metadata": {"order": 1}}
    made = gossip.client.post("/api/notifications/records/", later).json()
    path = f"/api/notifications/records/{made['id']}/"
    assert gossip.client.patch(path, {"template": "gossip"}).json()["metadata"] == {"order": 1, "category": "gossip"}


def test_items_of_a_batch(gossip: Persona) -> None:
    items = [
        {"recipient": "person0@example.com"},
        {"recipient": BARRED},
        {"recipient": "person2@example.com", "metadata": {"category": "billing"}},
        {"recipient": "person3@example.com", "metadata": {"order": 2}},
        {"recipient": "person4@example.com", "content": TEMPLATE["content"]},
    ]
    body = {"channel": "email", "template": "gossip", "context": CONTEXT, "metadata": {"order": 1}, "items": items}
    answer = gossip.client.post(f"{SERVICES}/send-batch", body)
    assert answer.status_code == 201, answer.json()
    assert results(gossip) == {
        "person0@example.com": ("pending", "gossip"),
        BARRED: ("suppressed", "gossip"),
        "person2@example.com": ("pending", "billing"),
        "person3@example.com": ("pending", "gossip"),
        "person4@example.com": ("pending", None),
    }


def test_rows_of_a_file_keep_the_category_of_the_upload(gossip: Persona) -> None:
    job = upload(gossip.client, table(3), content=..., template="gossip").json()
    change_template(gossip)
    done = work(gossip, job["id"])
    assert (done["progress"]["recorded"], done["progress"]["suppressed"]) == (2, 1)
    assert {category for _, category in results(gossip, batch_id=job["batch_id"]).values()} == {"gossip"}


@pytest.mark.parametrize(
    ("more", "category", "withheld"),
    [
        ({}, "gossip", 1),
        ({"category": "billing"}, "billing", 0),
        ({"metadata": {"category": "billing"}}, "billing", 0),
    ],
    ids=["of the template", "its own", "of its metadata"],
)
def test_recipients_of_a_campaign(gossip: Persona, more: dict[str, Any], category: str, withheld: int) -> None:
    people = [{"recipient": f"person{n}@example.com", "context": CONTEXT} for n in range(3)]
    campaign_id = create(gossip, content=..., template="gossip", recipients=people, **more)
    act(gossip, campaign_id, "launch")
    change_template(gossip)
    take_turns(gossip, campaign_id)
    assert gossip.client.get(f"{CAMPAIGNS}{campaign_id}/").json()["category"] == category
    progress = look(gossip, campaign_id)
    assert (progress["recorded"], progress["withheld"]) == (3 - withheld, withheld)
    assert {found for _, found in results(gossip, campaign_id=campaign_id).values()} == {category}
