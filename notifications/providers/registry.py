"""All providers, by key."""

from __future__ import annotations

from typing import Any

from notification_service.lib.net import PUBLIC_ONLY, NetworkPolicy
from notification_service.lib.registry import Registry
from notifications.providers.apprise import AppriseProvider
from notifications.providers.base import Provider
from notifications.providers.console import ConsoleProvider
from notifications.providers.fcm import FcmProvider
from notifications.providers.inapp import InAppProvider
from notifications.providers.sendgrid import SendGridProvider
from notifications.providers.smtp import SmtpProvider
from notifications.providers.twilio import TwilioProvider
from notifications.providers.webpush import WebPushProvider
from notifications.providers.whatsapp_cloud import WhatsAppCloudProvider

_ALL: tuple[type[Provider[Any]], ...] = (
    SmtpProvider,
    SendGridProvider,
    ConsoleProvider,
    TwilioProvider,
    FcmProvider,
    WebPushProvider,
    WhatsAppCloudProvider,
    InAppProvider,
    AppriseProvider,
)

providers: Registry[type[Provider[Any]]] = Registry("provider")
for _provider in _ALL:
    providers.register(_provider.key, _provider)


def make_provider(key: str, *, network_policy: NetworkPolicy = PUBLIC_ONLY) -> Provider[Any]:
    """Return a new instance for the running event loop. Raises ``KeyError`` naming the known keys."""
    return providers.get(key)(network_policy=network_policy)
