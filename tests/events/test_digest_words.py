"""What a digest says: by a template that goes through its events."""

from __future__ import annotations

import pytest

from notification_service.lib.scope import tenant_scope
from notifications.templates.rendering import compiled_version
from tests.conftest import Persona
from tests.events.conftest import records, send
from tests.events.test_rules import TRANSACTION, pass_time, rule

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_template_lists_all_events(sender: Persona) -> None:
    made = sender.client.post(
        "/api/notifications/templates/",
        {
            "name": "Transactions",
            "channel": "inapp",
            "content": {
                "title": "{{ count }} transactions",
                "body": "{% for event in events %}{{ event.currency }} {{ event.amount }}; {% endfor %}",
            },
        },
    )
    assert made.status_code == 201, made.content
    rule(sender, digest={"key": "{{userId}}", "seconds": 3600}, templates={"inapp": made.json()["slug"]})
    for amount in (2000, 3000, 4000):
        send(sender, {**TRANSACTION, "payload": {**TRANSACTION["payload"], "amount": amount}})
    assert pass_time(sender, seconds=3601) == 1
    (record,) = records(sender)
    with tenant_scope(sender.tenant_id):
        said = compiled_version(record.template_version_id).render(record.context)
    assert (said["title"], said["body"]) == ("3 transactions", "NGN 2000; NGN 3000; NGN 4000; ")
