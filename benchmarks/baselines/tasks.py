"""One task a message."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from celery import shared_task
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.template.loader import render_to_string
from django.utils import timezone
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response
from twilio.rest import Client

from benchmarks.baselines.models import CampaignRecipient


@shared_task
def deliver(notification_id: int) -> None:
    """What accepting a notification queues. Its benchmark ends with the queue: no worker runs it."""


@shared_task
def send_mail(recipient_id: int) -> None:
    """Send one campaign mail and note it in the ledger."""
    recipient = CampaignRecipient.objects.select_related("campaign").get(pk=recipient_id)
    html = render_to_string(f"{recipient.campaign.template}.html", recipient.context)
    message = EmailMultiAlternatives(
        recipient.campaign.subject.replace("{{ name }}", recipient.context["name"]),
        render_to_string(f"{recipient.campaign.template}.txt", recipient.context),
        to=[recipient.address],
        headers={"X-Notification-ID": str(recipient.pk)},
        connection=_kept_connection() if settings.REUSE_SMTP_CONNECTION else None,
    )
    message.attach_alternative(html, "text/html")
    message.send()
    recipient.status, recipient.sent_at = "sent", timezone.now()
    recipient.save(update_fields=["status", "sent_at"])


@shared_task
def send_text(recipient_id: int) -> None:
    """Send one text message through the vendor's SDK and note it in the ledger."""
    recipient = CampaignRecipient.objects.select_related("campaign").get(pk=recipient_id)
    body = render_to_string(f"{recipient.campaign.template}.txt", recipient.context)
    sent = _twilio().messages.create(to=recipient.address, from_=settings.TWILIO_FROM, body=body)
    recipient.status, recipient.sent_at, recipient.provider_message_id = "sent", timezone.now(), sent.sid or ""
    recipient.save(update_fields=["status", "sent_at", "provider_message_id"])


@lru_cache(maxsize=1)
def _kept_connection() -> BaseEmailBackend:
    connection: BaseEmailBackend = get_connection()
    connection.open()
    return connection


class _Elsewhere(TwilioHttpClient):
    """The SDK's own client (``requests`` with a kept session), sent to ``TWILIO_URL``."""

    def request(self, method: str, url: str, *arguments: Any, **options: Any) -> Response:
        return super().request(
            method, url.replace("https://api.twilio.com", settings.TWILIO_URL), *arguments, **options
        )


@lru_cache(maxsize=1)
def _twilio() -> Client:
    return Client(settings.TWILIO_ACCOUNT_SID, settings.TWILIO_AUTH_TOKEN, http_client=_Elsewhere())
