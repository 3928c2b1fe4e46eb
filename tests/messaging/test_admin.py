"""Staff delete what was reported, in the audit log; they do not read what people say."""

from __future__ import annotations

from django.test import Client
from django.urls import reverse

from messaging.models import ChatMessage
from notification_service.lib.scope import tenant_scope
from tenants.models import AuditLog, User
from tenants.models.people import PlatformRole
from tests.conftest import Persona
from tests.messaging.conftest import make_group, say, texts

LIST = "admin:messaging_chatmessage_changelist"


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_staff_delete_reported_messages(ada: Persona, bob: Persona) -> None:
    group = make_group(ada, bob)
    message = say(bob, group, "Something rude")
    body = {"action": "delete_messages", "_selected_action": [message["id"]]}
    support = User.objects.create_user("support@platform.example", platform_role=PlatformRole.SUPPORT)
    signed_in(support).post(reverse(LIST), body)
    assert texts(ada, group) == ["Something rude"], "support may only look"
    root = signed_in(User.objects.create_superuser("root@platform.example"))
    assert "Something rude" not in root.get(reverse(LIST)).content.decode()
    one = reverse("admin:messaging_chatmessage_change", args=[message["id"]])
    assert "Something rude" not in root.get(one).content.decode()
    assert root.post(reverse(LIST), body).status_code == 302
    assert texts(ada, group) == [""]
    with tenant_scope(ada.tenant_id):
        assert ChatMessage.objects.get(id=message["id"]).deleted_by == "root@platform.example"
        assert AuditLog.objects.get(action="chat.message_deleted").actor_label == "root@platform.example"
