"""The words of many notifications: content of their own, compiled once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from notification_service.lib.errors import ContentInvalid, InvalidInput
from notifications.channels.base import CompiledContent, ContentError
from notifications.records.intake import channel_of


@dataclass(frozen=True, slots=True)
class Words:
    """``content`` is valid content, or empty if the words are those of a version of a template."""

    content: Mapping[str, Any]
    template_version_id: UUID | None
    compiled: CompiledContent

    def prove(self, context: Mapping[str, Any], locale: str = "") -> None:
        """Render once. Raises ``ContentError`` naming the placeholder that has no value."""
        self.compiled.render(context)


def words_of(channel: str, *, content: Mapping[str, Any] | None, template: str = "") -> Words:
    """Return the words that a caller names, checked. Raises ``InvalidInput``, ``ContentInvalid`` naming the field."""
    if bool(content) == bool(template):
        message = "Give either content or a template."
        raise InvalidInput(f"content: {message}", errors={"content": [message]})
    try:
        valid, compiled = channel_of(channel).prepare(content or {})
    except ContentError as error:
        raise ContentInvalid(error.message, errors={f"content.{error.field}": [error.message]}) from None
    return Words(valid, None, compiled)


def words_again(channel: str, *, content: Mapping[str, Any], template_version_id: UUID | None) -> Words:
    """Return words that were checked before, as they are stored."""
    return Words(content, template_version_id, channel_of(channel).prepare(content)[1])
