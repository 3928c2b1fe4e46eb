"""In-app: there is nobody to send to. What a message says goes into its result, and with its outcome into the inbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from notifications.providers.base import CredentialSchema, FailureReason, OutgoingMessage, Provider, SendResult


class InAppCredential(CredentialSchema):
    """Nothing is needed."""


@dataclass(frozen=True, slots=True)
class Rendered(SendResult):
    """A result that carries what the message says, for whoever stores it."""

    content: Mapping[str, Any] = field(default_factory=dict, kw_only=True)


class InAppProvider(Provider[InAppCredential]):
    """Takes every message at once; the inbox shows it when the outcome is written."""

    key: ClassVar[str] = "inapp"
    label: ClassVar[str] = "In-app"
    channel: ClassVar[str] = "inapp"
    schema: ClassVar[type[CredentialSchema]] = InAppCredential
    needs_credential: ClassVar[bool] = False

    async def send(self, message: OutgoingMessage, credential: InAppCredential) -> SendResult:
        """Accept, and hand on what it says; not what would have left the inbox already (``expired``)."""
        expires_at = message.content.get("expires_at")
        if expires_at is not None and datetime.fromisoformat(expires_at) <= datetime.now(UTC):
            return SendResult.failure(FailureReason.EXPIRED, f"Its time in the inbox was over at {expires_at}.")
        return Rendered(True, response="stored", provider_message_id=str(message.id), content=message.content)
