"""The words of a record: content of its own, or a version of a template in a language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol
from uuid import UUID

from notifications.channels.base import Channel, CompiledContent
from notifications.recipients.unsubscribe import Sent, unsubscribe_url
from notifications.templates.building import UNSUBSCRIBE
from notifications.templates.rendering import CompiledTemplate

#: Stands for the link where words are proved: the link names its record, and so comes when that is sent.
_ANY_LINK: Final = {UNSUBSCRIBE: "https://example.com/u/token"}


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
        own = channel.prepare(record.content)[1]
        return own.render(_linked(own, record))
    rendered = template.render(_linked(template, record), locale=record.locale)
    if record.content:
        own = channel.prepare(record.content, part=True)[1]
        said = own.render(_linked(own, record))
        rendered.update({name: said[name] for name in record.content if name in said})
    return rendered


def provable(words: CompiledContent | CompiledTemplate, context: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what to prove words with: nobody has to give the link by which one unsubscribes."""
    return {**_ANY_LINK, **context} if UNSUBSCRIBE in words.placeholders else context


def _linked(words: CompiledContent | CompiledTemplate, record: Worded) -> Mapping[str, Any]:
    if UNSUBSCRIBE not in words.placeholders or UNSUBSCRIBE in record.context:
        return record.context
    return {**record.context, UNSUBSCRIBE: unsubscribe_url(record)}
