"""The demo tenant's credentials: one for each channel, all at the sandbox, which plays every vendor."""

from __future__ import annotations

import json
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from tenants.models import Tenant

#: Channel and provider of each credential that the demo tenant has.
Payloads = dict[tuple[str, str], dict[str, Any]]


def smtp_payload(tenant: Tenant) -> dict[str, Any]:
    """A mail server account; its user name is how the sandbox knows whose mail it caught."""
    url = urlsplit(settings.SANDBOX_SMTP_URL)
    return {
        "host": url.hostname,
        "port": url.port,
        "security": "none",
        "username": tenant.slug,
        "password": "demo-mail-password",
        "from_email": f"no-reply@{tenant.slug}.example",
        "from_name": tenant.name,
    }


def demo_payloads(tenant: Tenant) -> Payloads:
    """Return the payloads of all channels. Only mail if no sandbox plays the vendors."""
    payloads: Payloads = {}
    if settings.SANDBOX_SMTP_URL:
        payloads["email", "smtp"] = smtp_payload(tenant)
    if settings.SANDBOX_URL:
        payloads |= {
            ("sms", "twilio"): {
                "account_sid": "AC" + "0" * 32,
                "auth_token": "demo-twilio-token",
                "from_phone": "+15005550006",
                "base_url": f"{settings.SANDBOX_URL}/twilio",
            },
            ("push", "fcm"): {"service_account": _ask("/demo/fcm-service-account")},
            ("push", "webpush"): {
                name: value for name, value in _ask("/demo/vapid").items() if name != "vapid_public_key"
            },
            ("whatsapp", "whatsapp_cloud"): _ask("/demo/whatsapp"),
            ("apprise", "apprise"): {
                "urls": f"ops=mmost://{urlsplit(settings.SANDBOX_URL).netloc}/mattermost/{'demotoken' * 3}"
            },
        }
    return payloads


def sendgrid_payload(tenant: Tenant) -> dict[str, Any]:
    """A second way to send mail, for who wants to try failover."""
    return {
        "api_key": "SG.demo-key-of-the-sandbox",
        "from_email": f"no-reply@{tenant.slug}.example",
        "from_name": tenant.name,
        "base_url": f"{settings.SANDBOX_URL}/sendgrid",
    }


def _ask(path: str) -> dict[str, Any]:
    with urllib.request.urlopen(settings.SANDBOX_URL + path, timeout=10) as answer:  # noqa: S310 - our own sandbox
        return dict(json.load(answer))
