"""The words of a record: content of its own, or a version of a template in a language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID

from notifications.channels.base import Channel
from notifications.recipients.unsubscribe import Sent, unsubscribe_url
from notifications.templates.building import UNSUBSCRIBE
from notifications.templates.rendering import CompiledTemplate


class Worded(Sent, Protocol):
    """What is needed of a record to fill in its words."""

    @property
    def content(self) -> Mapping[str, Any]: ...
    @property
    def context(self) -> Mapping[str, Any]: ...
    @property
    def locale(self) -> str: ...
    @property
    def template_version_id(self) -> UUID | None: ...


def fill_in(record: Worded, channel: Channel, template: CompiledTemplate | None) -> dict[str, Any]:
    """Return the rendered content of a record; ``template`` is its compiled version, if it has one.

    Where a record has both, its content says otherwise for this message what the template says for all: a subject.
    Raises ``ContentError``.
    """
    if template is None:
        return channel.prepare(record.content)[1].render(record.context)
    context = record.context
    if UNSUBSCRIBE in template.placeholders and UNSUBSCRIBE not in context:
        context = {**context, UNSUBSCRIBE: unsubscribe_url(record)}
    rendered = template.render(context, locale=record.locale)
    if record.content:
        own = channel.prepare(record.content, part=True)[1].render(context)
        rendered.update({name: own[name] for name in record.content if name in own})
    return rendered
