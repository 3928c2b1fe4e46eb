"""The demo: two companies with people and a mail credential at the sandbox, and a file that says how to use them."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from notification_service.lib.scope import tenant_scope
from notification_service.local.demo_channels import Payloads, demo_payloads, sendgrid_payload
from notification_service.local.demo_chat import seed_chat
from notification_service.local.files import write_private
from notifications.credentials.models import Credential
from notifications.credentials.services import create_credential, decrypt, update_credential, valid_payload
from notifications.providers.registry import providers
from tenants import api_keys
from tenants.callers import system_caller
from tenants.models import Membership, Plan, PlatformRole, Role, Tenant, TenantStatus, User
from tenants.models.api_key import ApiKeyMode, ApiKeyStatus
from tenants.permissions import API_KEY_SCOPES
from tenants.tokens import issue_access_token, issue_platform_token

_LIFETIME = timedelta(days=365)
#: The company of the demo page and its two people: one who sends, one who receives.
TENANT = "acme"
PAGE_PEOPLE = ("hr@acme.example", "user@acme.example")


@dataclass(frozen=True, slots=True)
class _Person:
    user: User
    password: str

    def shown(self) -> dict[str, str]:
        return {"email": self.user.email, "password": self.password}


def seed_demo(path: Path) -> dict[str, Any]:
    """Make what is missing of the demo, keep what is there, and write ``path`` (mode 600); return what it says.

    Passwords are those of an earlier ``path`` where there is one: links and logins outlive a restart.
    """
    earlier = _earlier(path)
    known = _known_passwords(earlier)
    with transaction.atomic():
        acme = _tenant(TENANT, "Acme", "#0f766e")
        globex = _tenant("globex", "Globex", "#7c3aed")
        admin = _person("admin@acme.example", "Ada Admin", known)
        member = _person("hr@acme.example", "Hanna HR", known)
        customer = _person("user@acme.example", "Uma User", known)
        other_admin = _person("admin@globex.example", "Gus Admin", known)
        platform = _person("root@platform.example", "Pat Platform", known, platform_role=PlatformRole.SUPER_ADMIN)
        _member(acme, admin, Role.ADMIN)
        _member(acme, member, Role.HR)
        _member(acme, customer, Role.CUSTOMER)
        _member(globex, other_admin, Role.ADMIN)
        conversation = seed_chat(acme, ((member.user, Role.HR), (customer.user, Role.CUSTOMER)))
        payloads = demo_payloads(acme)
        _credentials(acme, payloads)
        _credentials(globex, demo_payloads(globex))
        pairs = {mode: _api_key(acme, mode, earlier.get("api_keys", {}).get(mode)) for mode in ApiKeyMode.values}
    base_url = settings.PUBLIC_URL
    demo = {
        "base_url": base_url,
        "ws_url": base_url.replace("http", "ws", 1) + "/ws/notifications/",
        "demo_url": f"{base_url}/demo/",
        "sandbox_url": settings.SANDBOX_URL,
        "kafka_bootstrap_servers": settings.KAFKA_BOOTSTRAP_SERVERS,
        "tenant_id": str(acme.id),
        "admin": admin.shown(),
        "member": member.shown(),
        "user": customer.shown(),
        "platform_admin": platform.shown(),
        "token": issue_access_token(admin.user, acme, Role.ADMIN, _LIFETIME),
        "user_token": issue_access_token(customer.user, acme, Role.CUSTOMER, _LIFETIME),
        "user_id": str(customer.user.id),
        "conversation_id": str(conversation),
        "platform_token": issue_platform_token(platform.user, _LIFETIME),
        "api_keys": pairs,
        "smtp": payloads.get(("email", "smtp")),
        "credentials": [
            {"channel": channel, "provider": provider, "credentials": payload}
            for (channel, provider), payload in {**payloads, ("email", "sendgrid"): sendgrid_payload(acme)}.items()
        ],
        "other_tenant": {
            "tenant_id": str(globex.id),
            "admin": other_admin.shown(),
            "token": issue_access_token(other_admin.user, globex, Role.ADMIN, _LIFETIME),
        },
    }
    write_private(path, json.dumps(demo, indent=2) + "\n")
    return demo


def _earlier(path: Path) -> dict[str, Any]:
    try:
        earlier: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return earlier


def _known_passwords(earlier: dict[str, Any]) -> dict[str, str]:
    people = [earlier.get(name, {}) for name in ("admin", "member", "user", "platform_admin")]
    people.append(earlier.get("other_tenant", {}).get("admin", {}))
    return {person["email"]: person["password"] for person in people if person}


def _api_key(tenant: Tenant, mode: str, earlier: dict[str, str] | None) -> dict[str, str]:
    """The pair of an earlier run if it still opens the door, else a new one."""
    with tenant_scope(tenant.id):
        if earlier and any(
            key.status == ApiKeyStatus.ACTIVE and bytes(key.secret_hash) == api_keys.hash_secret(earlier["secret"])
            for key in api_keys.keys().filter(key=earlier["key"])
        ):
            return earlier
        caller = replace(system_caller(tenant.id, "demo"), permissions=API_KEY_SCOPES)
        made = api_keys.create(caller, name=f"Demo ({mode})", mode=ApiKeyMode(mode), scopes=API_KEY_SCOPES)
        return {"key": made.key.key, "secret": made.secret}


def _tenant(slug: str, name: str, colour: str) -> Tenant:
    tenant, _ = Tenant.objects.get_or_create(
        slug=slug,
        defaults={
            "name": name,
            "status": TenantStatus.ACTIVE,
            "plan": Plan.PROFESSIONAL,
            "brand_color": colour,
        },
    )
    return tenant


def _person(email: str, name: str, known: dict[str, str], **fields: Any) -> _Person:
    password = known.get(email) or secrets.token_urlsafe(12)
    user = User.objects.filter(email=email).first()
    if user is None:
        return _Person(User.objects.create_user(email, password, name=name, **fields), password)
    if not user.check_password(password):
        user.set_password(password)
        user.save()
    return _Person(user, password)


def _member(tenant: Tenant, person: _Person, role: str) -> None:
    with tenant_scope(tenant.id):
        Membership.objects.get_or_create(tenant=tenant, user=person.user, defaults={"role": role})


def _credentials(tenant: Tenant, payloads: Payloads) -> None:
    """Make the sandbox's credentials, or correct them: its ports and keys may have changed since."""
    with tenant_scope(tenant.id):
        caller = system_caller(tenant.id, "demo")
        for (channel, provider), payload in payloads.items():
            name = f"Sandbox {providers.get(provider).label}"
            ours = Credential.objects.filter(name=name, channel=channel).first()
            if ours is None:
                create_credential(caller, channel=channel, provider=provider, name=name, payload=payload)
            elif decrypt(ours) != valid_payload(provider, payload):
                update_credential(caller, ours, payload=payload, enabled=True)
