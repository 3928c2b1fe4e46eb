"""Verbs of templates."""

from __future__ import annotations

from typing import NoReturn
from uuid import UUID

from notification_service.lib.errors import InvalidInput
from notifications.templates.models import Kind, MessageTemplate, MessageTemplateVersion


def resolve(key: str, *, channel: str | None = None) -> MessageTemplateVersion:
    """Return the published version of a template by its slug or id: the tenant's own, else the system's.

    With a ``channel``, ``reward_issued`` also finds ``reward_issued.email``. Needs the tenant's scope. Raises
    ``InvalidInput`` naming ``template``: there is none, it is not published, or it is for another channel.
    """
    template = _find(key, channel)
    if template is None or template.kind != Kind.MESSAGE:
        _refuse(f"There is no template {key!r}.")
    if channel and template.channel != channel:
        _refuse(f"The template {template.slug!r} is for {template.channel}, not for {channel}.")
    if template.published is None:
        _refuse(f"The template {template.slug!r} has no published version.")
    template.published.template = template
    return template.published


def _find(key: str, channel: str | None) -> MessageTemplate | None:
    rows = MessageTemplate.objects.filter(deleted_at=None).select_related("published")
    if template_id := as_uuid(key):
        return rows.filter(id=template_id).first()
    slugs = [key, f"{key}.{channel}"] if channel else [key]
    found = {template.slug: template for template in rows.filter(slug__in=slugs)}
    exact = found.get(key)
    if exact is not None and (channel is None or exact.channel == channel):
        return exact
    return found.get(f"{key}.{channel}", exact)


def as_uuid(text: str) -> UUID | None:
    """Return the UUID that a text is, or None."""
    try:
        return UUID(text)
    except ValueError:
        return None


def _refuse(message: str) -> NoReturn:
    raise InvalidInput(f"template: {message}", errors={"template": [message]})
