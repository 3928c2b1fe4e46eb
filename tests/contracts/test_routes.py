"""Rules for every address of the service: who may call it, and whose rows it shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerView
from pytest_django import Settings
from rest_framework.test import APIClient
from rest_framework.views import APIView

from notification_service.lib.scope import platform_scope, tenant_scope
from notification_service.local.demo_page import urls as demo_page
from notifications.events.dead_letters import Letter, bury
from tenants.api.permissions import PUBLIC, AnyOf, required_permission
from tenants.api.views import NoSuchAddress, ServiceView
from tenants.isolation import tenant_models
from tenants.permissions import Permission
from tests.conftest import Persona

#: Everything that anybody may call. Add to it with care.
ANYBODY = {
    ("GET", ".well-known/jwks.json"),
    ("GET", "api/notifications/health/"),
    ("GET", "health"),
    # Operators: whoever shows METRICS_TOKEN; there is no such address for anybody else.
    ("GET", "metrics"),
    ("POST", "api/v1/auth/login"),
    ("POST", "api/v1/auth/logout"),
    ("POST", "api/v1/auth/refresh"),
    ("POST", "api/v1/auth/register"),
    # Whoever has the address of a file: it is signed for one person, who is looked up again.
    ("GET", "api/notifications/chat/files/<uuid:file_id>/content"),
    # The demo page: `make up` alone mounts it, for callers on this machine; its view refuses everybody else.
    ("GET", "demo/"),
    ("GET", "demo/files/<str:name>"),
    ("POST", "demo/people"),
    # Whoever has the link of a message: the token is signed.
    ("GET", "t/c/<str:token>"),
    ("GET", "t/o/<str:token>.gif"),
    ("GET", "u/<str:token>"),
    ("POST", "u/<str:token>"),
    # Whoever shows an API key or a token, or signs with the secret of a source: the view asks for one of them itself.
    ("POST", "api/notifications/webhook/"),
    # Providers: each call is signed with the tenant's credential.
    ("GET", "webhooks/<slug:provider>/<uuid:credential_id>"),
    ("POST", "webhooks/<slug:provider>"),
    ("POST", "webhooks/<slug:provider>/<uuid:credential_id>"),
}
#: Not ours: pages that show the schema, and what is no address at all.
NOT_OURS = (SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerView, NoSuchAddress)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Route:
    pattern: str
    view: type[APIView]
    parameters: tuple[str, ...]

    @property
    def methods(self) -> list[str]:
        return [method for method in METHODS if hasattr(self.view, method.lower())]

    def address(self, value: Any = None) -> str:
        """The address, each parameter being ``value`` or a random id, and each number 1."""
        address = self.pattern
        for parameter in self.parameters:
            before, _, rest = address.partition("<")
            converter, _, after = rest.partition(">")
            assert converter.endswith(parameter), self.pattern
            filled = 1 if converter.startswith("int:") else value or uuid4()
            address = f"{before}{filled}{after}"
        return "/" + address

    def __str__(self) -> str:
        return self.pattern


def walk(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[Route]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            if pattern.namespace != "admin":
                yield from walk(pattern.url_patterns, prefix + str(pattern.pattern))
            continue
        view = getattr(pattern.callback, "cls", None)
        assert view is not None, f"{prefix}{pattern.pattern} is no view class"
        if not issubclass(view, NOT_OURS):
            yield Route(prefix + str(pattern.pattern), view, tuple(pattern.pattern.converters))


ROUTES = [*walk(get_resolver().url_patterns), *walk(demo_page.urlpatterns)]
CALLS = [(method, route) for route in ROUTES for method in route.methods]
GUARDED = [(method, route) for method, route in CALLS if (method, route.pattern) not in ANYBODY]


def test_there_are_routes() -> None:
    assert len(ROUTES) > len(ANYBODY)
    assert len({route.pattern for route in ROUTES}) == len(ROUTES), "an address stands twice"


@pytest.mark.parametrize(("method", "route"), CALLS, ids=str)
def test_every_view_names_the_permission_that_it_needs(method: str, route: Route) -> None:
    assert issubclass(route.view, ServiceView)
    needed = required_permission(route.view(), method)
    assert needed == PUBLIC or isinstance(needed, Permission) or (isinstance(needed, AnyOf) and needed)


def test_nothing_is_public_by_accident() -> None:
    found = {(m, route.pattern) for m, route in CALLS if required_permission(route.view(), m) == PUBLIC}
    assert found == ANYBODY


@pytest.mark.parametrize(("method", "route"), GUARDED, ids=str)
def test_strangers_are_asked_who_they_are(db: None, method: str, route: Route) -> None:
    for address in (route.address().rstrip("/"), route.address().rstrip("/") + "/"):
        answer = APIClient().generic(method, address)
        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


@pytest.fixture(autouse=True)
def _uploads(settings: Settings, tmp_path: Path) -> None:
    uploads = {**settings.STORAGES["uploads"], "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "uploads": uploads}


def _media(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


def seed(admin: Persona) -> set[str]:
    """Make something of everything; return the ids of rows of the tenant, the newest of each kind."""
    smtp = {"host": "127.0.0.1", "port": 2525, "security": "none", "from_email": "no-reply@acme.example"}
    credential = {"channel": "email", "provider": "smtp", "name": "Mail", "credentials": smtp}
    content = {"subject": "Hi", "body": "Hello"}
    record = {"channel": "email", "recipient": "ada@example.com", "content": content}
    chunk = {"channel": "email", "content": content, "chunk": 1, "items": [{"email": "a@example.com"}]}
    campaign = {"name": "Promo", "channel": "email", "content": content, "recipients": ["ada@example.com"]}
    device = {"device_id": "phone", "platform": "ios", "token": "a-token-of-a-phone"}
    for path, body in (
        ("/api/v1/projects/me/api-keys", {"name": "Server"}),
        ("/api/notifications/credentials/", credential),
        ("/api/notifications/records/", record),
        ("/api/notifications/devices/", device),
        ("/api/notifications/campaigns/", campaign),
        ("/api/notifications/suppressions/", {"channel": "email", "address": "eve@example.com"}),
        ("/api/v1/users", {"external_user_id": "crm-17", "email": "ada@example.com", "roles": ["finance"]}),
        ("/api/v1/roles", {"name": "board"}),
        ("/api/v1/categories", {"key": "marketing"}),
        ("/api/v1/services/notifications/send-chunk", chunk),
        ("/api/v1/notifications/broadcasts", {"audience": "tenant", "content": {"title": "Hello"}}),
        ("/api/v1/events", {"type": "task.assigned", "payload": {"title": "Prepare the offer"}}),
        ("/api/v1/events/sources", {"name": "Parcels"}),
        ("/api/notifications/templates/", {"name": "Hi", "channel": "email", "content": content}),
        ("/api/v1/admin/lookups", {"type": "office", "value": "cork", "label": "Cork"}),
        ("/api/v1/webhooks/endpoints", {"url": "https://crm.acme.example/webhooks"}),
        ("/api/v1/rules", {"name": "Large", "condition": "amount > 1000", "targetRoles": ["finance"]}),
    ):
        answer = admin.client.post(path, body, headers={"Idempotency-Key": path})
        assert answer.status_code == 201, answer.json()
    user_service = {"url": "https://crm.acme.example/users/{user_id}", "secret": "a-secret-of-acme"}
    for path, body in (("users/me/preferences", {"digest": "daily"}), ("projects/me/user-service", user_service)):
        assert admin.client.put(f"/api/v1/{path}", body).status_code == 200
    webhook = admin.client.put("/api/v1/projects/me/webhook", {"url": "https://crm.acme.example/webhooks"}).json()
    assert admin.client.post(f"/api/v1/webhooks/endpoints/{webhook['id']}/test").status_code == 202
    recipients = SimpleUploadedFile("people.csv", b"recipient\nada@example.com\n")
    form = {"file": recipients, "channel": "email", "content": json.dumps(content)}
    answer = admin.client.post("/api/v1/services/notifications/bulk/csv", form, format="multipart")
    assert answer.status_code == 202, answer.json()
    sound = SimpleUploadedFile("chime.wav", b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(40))
    assert admin.client.post("/api/v1/sounds", {"file": sound}, format="multipart").status_code == 201
    (inbox,) = admin.client.get("/api/notifications/").json()["results"]
    assert admin.client.patch(f"/api/v1/users/me/notifications/{inbox['id']}/read").status_code == 200
    with platform_scope("a message that could not be read"):
        bury([Letter("hr-events", 0, 0, "", b"{}", "bad_payload", "It has nothing.", admin.tenant_id)])
    seed_chat(admin)
    with tenant_scope(admin.tenant_id):
        kinds = [model._default_manager.order_by("-pk").values_list("pk", flat=True) for model in tenant_models(apps)]
        rows = {str(pk) for newest in kinds for pk in newest[:3]}
    return rows | {str(admin.tenant_id)}


def seed_chat(admin: Persona) -> None:
    """Make a channel that anybody of the tenant may join, with a message, a reaction, a file and a notice."""
    chat, client = "/api/notifications/chat", admin.client
    channel = {"kind": "channel", "title": "Lobby", "is_open": True}
    assert client.post(f"{chat}/conversations/", channel).status_code == 201
    message = client.post("/api/messages/send/", {"recipient_id": "a-colleague", "text": "Hello"}).json()
    client.post(f"{chat}/messages/{message['id']}/reactions/", {"emoji": "👍"})
    file = {"conversation_id": message["conversation_id"], "file": SimpleUploadedFile("notes.txt", b"text")}
    assert client.post(f"{chat}/upload/", file, format="multipart").status_code == 201


def test_no_list_shows_another_tenants_rows(admin: Persona, stranger: Persona) -> None:
    ids = seed(admin)
    lists = [route for method, route in GUARDED if method == "GET" and not route.parameters]
    seen = 0
    for route in lists:
        seen += any(row in admin.client.get(route.address()).content.decode() for row in ids)
        text = stranger.client.get(route.address()).content.decode()
        assert not [row for row in ids if row in text], route.pattern
    assert seen >= 9, "the owner does see them"


@pytest.mark.timeout(400)  # every address with every row's id: thousands of requests
def test_no_address_opens_another_tenants_rows(admin: Persona, stranger: Persona) -> None:
    ids = seed(admin)
    with_ids = [(method, route) for method, route in GUARDED if route.parameters]
    assert with_ids
    for method, route in with_ids:
        for row in ids:
            answer = stranger.client.generic(method, route.address(row), "{}", content_type="application/json")
            assert answer.status_code in (400, 404), (method, route.pattern, answer.content)
            assert method != "GET" or answer.status_code == 404
