"""``/api/notifications/credentials/``: stored encrypted, shown masked, kept through a form that sends the mask back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from notification_service.lib.ids import new_id
from notification_service.lib.scope import tenant_scope
from notifications.credentials.models import Credential
from notifications.credentials.services import decrypt
from tenants.models import AuditLog, Role
from tests.conftest import Persona
from tests.credentials.conftest import CREDENTIALS, MASKED, PASSWORD, body

Create = Callable[..., dict[str, Any]]


def password(persona: Persona, credential_id: str) -> str | None:
    """Return the password as it would be sent to the provider."""
    with tenant_scope(persona.tenant_id):
        found: str | None = decrypt(Credential.objects.get(id=credential_id)).reveal()["password"]
    return found


def test_created_and_read_with_its_secret_masked(admin: Persona) -> None:
    answer = admin.client.post(CREDENTIALS, body(from_name="Acme"))
    made = answer.json()
    assert answer.status_code == 201
    assert (made["channel"], made["provider"], made["name"], made["status"]) == ("email", "smtp", "SMTP", "active")
    assert (made["enabled"], made["position"], made["tenant_id"]) == (True, 0, str(admin.tenant_id))
    assert made["credentials"]["password"] == MASKED
    assert (made["credentials"]["port"], made["credentials"]["security"]) == (587, "starttls")
    assert admin.client.get(f"{CREDENTIALS}{made['id']}/").json() == made
    assert admin.client.get(CREDENTIALS).json()["results"] == [made]
    assert password(admin, made["id"]) == PASSWORD


def test_a_short_secret_shows_nothing_of_itself(create: Create) -> None:
    assert create(password="hunter2")["credentials"]["password"] == "••••"


def test_the_secret_is_nowhere_in_clear(admin: Persona, create: Create, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    made = create()
    address = f"{CREDENTIALS}{made['id']}/"
    answers = [
        admin.client.get(CREDENTIALS),
        admin.client.get(address),
        admin.client.patch(address, {"credentials": {"password": PASSWORD + "!"}}),
        admin.client.put(address, body(port="many")),
        admin.client.put(address, body(password=["x", PASSWORD])),
        admin.client.patch(address, {"credentials": {"password": {"is": PASSWORD}}}),
        admin.client.post(CREDENTIALS, body(username=..., password=PASSWORD)),
        admin.client.delete(address),
        admin.client.get("/api/v1/audit/"),
    ]
    with tenant_scope(admin.tenant_id):
        rows = [repr(row.__dict__) for row in AuditLog.objects.all()]
        kept = Credential.objects.filter(id=made["id"])
        assert not kept
    shown = [answer.content.decode() for answer in answers] + rows
    logged = [caplog.text, *(repr(record.__dict__) for record in caplog.records)]
    assert len(rows) == 3
    assert [text for text in shown + logged if "horse battery" in text] == []


def test_what_is_stored_is_no_clear_text(admin: Persona, create: Create) -> None:
    made = create()
    with tenant_scope(admin.tenant_id):
        credential = Credential.objects.get(id=made["id"])
    stored = bytes(credential.payload_encrypted)
    for word in (PASSWORD, "smtp.example.com", "acme"):
        assert word.encode() not in stored
    assert PASSWORD not in f"{credential!r}{credential}"
    with tenant_scope(admin.tenant_id):
        assert PASSWORD not in repr(decrypt(credential))


@pytest.mark.parametrize("method", ["put", "patch"])
def test_the_mask_sent_back_keeps_the_secret(admin: Persona, create: Create, method: str) -> None:
    made = create()
    form = {"channel": "email", "credentials": {**made["credentials"], "from_name": "Acme Ltd."}}
    answer = getattr(admin.client, method)(f"{CREDENTIALS}{made['id']}/", form)
    assert (answer.status_code, answer.json()["credentials"]["from_name"]) == (200, "Acme Ltd.")
    assert answer.json()["credentials"]["password"] == MASKED
    assert password(admin, made["id"]) == PASSWORD


def test_a_mask_of_nothing_is_no_password(admin: Persona) -> None:
    answer = admin.client.post(CREDENTIALS, body(password=MASKED))
    assert (answer.status_code, "credentials.password" in answer.json()["errors"]) == (400, True)


def test_patch_merges_and_put_replaces(admin: Persona, create: Create) -> None:
    made = create(from_name="Acme", port=2525)
    address = f"{CREDENTIALS}{made['id']}/"
    patched = admin.client.patch(address, {"credentials": {"from_name": "Acme Ltd."}}).json()["credentials"]
    assert (patched["from_name"], patched["port"], patched["password"]) == ("Acme Ltd.", 2525, MASKED)
    put = admin.client.put(address, body(username=..., password=...)).json()["credentials"]
    assert (put["from_name"], put["port"], put["username"], put["password"]) == (None, 587, None, None)


@pytest.mark.parametrize(
    "change",
    [
        {"host": "smtp.attacker.example"},
        {"security": "none"},
        {"verify_certificate": False},
    ],
    ids=lambda change: next(iter(change)),
)
@pytest.mark.parametrize("method", ["put", "patch"])
def test_a_secret_that_would_go_elsewhere_is_asked_for(
    admin: Persona, create: Create, method: str, change: dict[str, Any]
) -> None:
    made = create()
    address = f"{CREDENTIALS}{made['id']}/"
    forms = [{**made["credentials"], **change}]
    if method == "patch":
        forms.append(change)
    for form in forms:
        answer = getattr(admin.client, method)(address, {"channel": "email", "credentials": form})
        assert (answer.status_code, answer.json()["code"]) == (400, "secret_required"), answer.json()
        assert list(answer.json()["errors"]) == ["credentials.password"]
    assert admin.client.get(address).json()["credentials"] == made["credentials"]
    known = {**made["credentials"], **change, "password": PASSWORD}
    assert getattr(admin.client, method)(address, {"channel": "email", "credentials": known}).status_code == 200


def test_what_is_no_other_place_asks_for_nothing(admin: Persona, create: Create) -> None:
    made = create(port=587)
    address = f"{CREDENTIALS}{made['id']}/"
    for change in ({"port": 465, "security": "tls"}, {"from_name": "A"}, {"host": "SMTP.example.com."}):
        assert admin.client.patch(address, {"credentials": change}).status_code == 200
    open_relay = create(username=..., password=...)
    answer = admin.client.patch(f"{CREDENTIALS}{open_relay['id']}/", {"credentials": {"host": "other.example.com"}})
    assert answer.status_code == 200


def test_a_base_url_and_a_token_url_are_places_too(admin: Persona) -> None:
    twilio = {"account_sid": "AC" + "1" * 32, "auth_token": "tok", "from_phone": "+15005550006"}
    oauth = {
        "host": "smtp.example.com",
        "from_email": "a@acme.example",
        "auth": "xoauth2",
        "username": "a",
        "client_id": "c",
        "client_secret": "s",
        "refresh_token": "r",
        "token_url": "https://login.example.com/token",
    }
    for channel, payload, change, secrets in (
        ("sms", twilio, {"base_url": "https://evil.example"}, ["auth_token"]),
        ("email", oauth, {"token_url": "https://evil.example"}, ["client_secret", "refresh_token"]),
    ):
        made = admin.client.post(CREDENTIALS, {"channel": channel, "credentials": payload}).json()
        answer = admin.client.patch(f"{CREDENTIALS}{made['id']}/", {"credentials": change})
        assert answer.json()["code"] == "secret_required"
        assert list(answer.json()["errors"]) == [f"credentials.{name}" for name in secrets]


def test_a_new_secret_replaces_the_old(admin: Persona, create: Create) -> None:
    made = create()
    admin.client.patch(f"{CREDENTIALS}{made['id']}/", {"credentials": {"password": "another one entirely"}})
    assert password(admin, made["id"]) == "another one entirely"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "channel"),
        ({"channel": "email"}, "credentials"),
        ({**body(), "channel": "pigeon"}, "channel"),
        ({**body(), "provider": "pigeon_post"}, "provider"),
        ({**body(), "position": -1}, "position"),
        ({**body(), "enabled": "perhaps"}, "enabled"),
        ({**body(), "name": "x" * 300}, "name"),
        ({**body(), "credentials": "secret"}, "credentials"),
        (body(host=...), "credentials.host"),
        (body(host="http://smtp.example.com/"), "credentials.host"),
        (body(port=70000), "credentials.port"),
        (body(from_email="nobody"), "credentials.from_email"),
        (body(username=...), "credentials.password"),
        (body(colour="blue"), "credentials.colour"),
        (body(security="rot13"), "credentials.security"),
        (body(password="a\x00b"), "credentials.password"),
    ],
)
def test_bad_input_is_refused_by_the_name_of_its_field(admin: Persona, asked: dict[str, Any], field: str) -> None:
    answer = admin.client.post(CREDENTIALS, asked)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert field in answer.json()["errors"]
    assert admin.client.get(CREDENTIALS).json()["count"] == 0


def test_the_channel_stays_and_a_provider_needs_its_payload(admin: Persona, create: Create) -> None:
    address = f"{CREDENTIALS}{create()['id']}/"
    assert list(admin.client.patch(address, {"channel": "sms"}).json()["errors"]) == ["channel"]
    assert list(admin.client.patch(address, {"provider": "console"}).json()["errors"]) == ["credentials"]
    answer = admin.client.patch(address, {"provider": "console", "credentials": {}})
    assert (answer.status_code, answer.json()["provider"]) == (200, "console")


def test_switched_off_and_on(admin: Persona, create: Create) -> None:
    address = f"{CREDENTIALS}{create()['id']}/"
    off = admin.client.patch(address, {"enabled": False}).json()
    assert (off["enabled"], off["status"]) == (False, "disabled")
    assert admin.client.patch(address, {"name": "Mail"}).json()["status"] == "disabled"
    on = admin.client.patch(address, {"enabled": True}).json()
    assert (on["enabled"], on["status"]) == (True, "active")


def test_list_is_filtered_and_in_the_order_of_use(admin: Persona, create: Create) -> None:
    first, second = create(), create()
    admin.client.patch(f"{CREDENTIALS}{first['id']}/", {"position": 5, "enabled": False})
    rows = admin.client.get(CREDENTIALS).json()["results"]
    assert [row["id"] for row in rows] == [second["id"], first["id"]]
    rows = admin.client.get(CREDENTIALS, {"status": "disabled"}).json()["results"]
    assert [row["id"] for row in rows] == [first["id"]]
    assert admin.client.get(CREDENTIALS, {"channel": "sms"}).json()["results"] == []


def test_what_was_done_is_audited(admin: Persona, create: Create) -> None:
    address = f"{CREDENTIALS}{create()['id']}/"
    admin.client.patch(address, {"name": "Mail"})
    admin.client.delete(address)
    assert admin.client.get(address).status_code == 404
    with tenant_scope(admin.tenant_id):
        rows = list(AuditLog.objects.filter(resource_type="credential").order_by("id"))
    assert [row.action for row in rows] == ["credential.created", "credential.updated", "credential.deleted"]
    assert {row.actor_label for row in rows} == {admin.user.email}
    assert rows[1].metadata["after"] == {"name": "Mail"}


@pytest.mark.parametrize(
    ("method", "more"), [("get", ""), ("put", ""), ("patch", ""), ("delete", ""), ("post", "test/")]
)
def test_a_stranger_finds_nothing(stranger: Persona, create: Create, method: str, more: str) -> None:
    made = create()
    asked = body() if method in ("put", "patch") else None
    theirs = getattr(stranger.client, method)(f"{CREDENTIALS}{made['id']}/{more}", asked)
    assert (theirs.status_code, theirs.json()["code"]) == (404, "not_found")
    assert theirs.json() == getattr(stranger.client, method)(f"{CREDENTIALS}{new_id()}/{more}", asked).json()
    assert stranger.client.get(CREDENTIALS).json()["results"] == []


@pytest.mark.parametrize(
    ("role", "reads", "writes"),
    [(Role.OWNER, 200, 201), (Role.MANAGER, 200, 403), (Role.HR, 403, 403), (Role.EMPLOYEE, 403, 403)],
)
def test_who_may(admin: Persona, make_persona: Callable[..., Persona], role: str, reads: int, writes: int) -> None:
    client = make_persona(admin.tenant, role).client
    assert client.get(CREDENTIALS).status_code == reads
    assert client.post(CREDENTIALS, body()).status_code == writes
