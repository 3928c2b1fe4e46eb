"""Who an email is from: what every email credential asks for."""

from __future__ import annotations

from pydantic import Field, field_validator

from notifications.providers.addresses import normalise_email
from notifications.providers.base import CredentialSchema


class SenderIdentity(CredentialSchema):
    """The sender's address and name, and where answers go."""

    from_email: str = Field(
        description="Address that the mail is from, as the provider knows it.", examples=["no-reply@example.com"]
    )
    from_name: str | None = Field(None, max_length=200, description="Name that is shown with the address.")
    reply_to: str | None = Field(None, description="Address that answers go to.")

    @field_validator("from_email", "reply_to")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        return None if value is None else normalise_email(value)

    @field_validator("from_name")
    @classmethod
    def _one_line(cls, value: str | None) -> str | None:
        if value is not None and not value.isprintable():
            raise ValueError("Line breaks and control characters are not allowed.")
        return value
