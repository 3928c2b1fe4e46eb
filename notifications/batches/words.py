"""The words of many notifications: content of their own or a version of a template, compiled once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from notification_service.lib.errors import ContentInvalid, InvalidInput
from notifications.channels.base import CompiledContent, ContentError
from notifications.records.intake import channel_of
from notifications.records.words import provable
from notifications.templates.rendering import CompiledTemplate, compiled_version
from notifications.templates.services import resolve


@dataclass(frozen=True, slots=True)
class Words:
    """``content`` is valid content, or empty if the words are those of a version of a template.

    ``category`` is that of the template, where the words are looked up anew.
    """

    content: Mapping[str, Any]
    template_version_id: UUID | None
    compiled: CompiledContent | CompiledTemplate
    category: str = ""

    @property
    def placeholders(self) -> Collection[str]:
        """Names of what is filled in."""
        return self.compiled.placeholders

    def prove(self, context: Mapping[str, Any], locale: str = "") -> None:
        """Render once. Raises ``ContentError`` naming the placeholder that has no value."""
        context = provable(self.compiled, context)
        if isinstance(self.compiled, CompiledTemplate):
            self.compiled.render(context, locale=locale)
        else:
            self.compiled.render(context)


def words_of(channel: str, *, content: Mapping[str, Any] | None, template: str = "") -> Words:
    """Return the words that a caller names, checked. Needs the tenant's scope.

    Raises ``InvalidInput``, ``ContentInvalid`` naming the field.
    """
    if bool(content) == bool(template):
        message = "Give either content or a template."
        raise InvalidInput.at("content", message)
    if template:
        version = resolve(template, channel=channel_of(channel).key)
        return Words({}, version.id, compiled_version(version.id), version.template.category)
    try:
        valid, compiled = channel_of(channel).prepare(content or {})
    except ContentError as error:
        raise ContentInvalid(error.message, errors={f"content.{error.field}": [error.message]}) from None
    return Words(valid, None, compiled)


def words_again(channel: str, *, content: Mapping[str, Any], template_version_id: UUID | None) -> Words:
    """Return words that were checked before, as they are stored. Needs the tenant's scope."""
    if template_version_id is not None:
        return Words({}, template_version_id, compiled_version(template_version_id))
    return Words(content, None, channel_of(channel).prepare(content)[1])
