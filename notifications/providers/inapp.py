"""In-app: the stored record is the message, so there is nothing to send."""

from __future__ import annotations

from typing import ClassVar

from notifications.providers.base import CredentialSchema, OutgoingMessage, Provider, SendResult


class InAppCredential(CredentialSchema):
    """Nothing is needed."""


class InAppProvider(Provider[InAppCredential]):
    """Takes every message at once; the inbox shows it when the outcome is written."""

    key: ClassVar[str] = "inapp"
    label: ClassVar[str] = "In-app"
    channel: ClassVar[str] = "inapp"
    schema: ClassVar[type[CredentialSchema]] = InAppCredential
    needs_credential: ClassVar[bool] = False

    async def send(self, message: OutgoingMessage, credential: InAppCredential) -> SendResult:
        """Accept."""
        return SendResult.success(response="stored", provider_message_id=str(message.id))
