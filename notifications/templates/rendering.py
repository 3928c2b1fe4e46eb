"""Versions made ready to be filled in: compiled once in each process, as they never change."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from notification_service.lib.errors import NotFound
from notification_service.lib.scope import current_tenant_id
from notifications.channels.base import CompiledContent, ContentError
from notifications.channels.registry import channels
from notifications.templates.locales import choose_variant
from notifications.templates.models import MessageTemplateVersion


class CompiledTemplate:
    """A version of a template, ready to be rendered for many contexts. Has no business with the database."""

    def __init__(self, version: MessageTemplateVersion) -> None:
        self.channel = version.template.channel
        self.slug = version.template.slug
        self.number = version.number
        channel = channels.get(self.channel)
        self._variants: dict[str, CompiledContent] = {
            locale: channel.compile(content) for locale, content in version.compiled.items()
        }
        #: Names of the placeholders of every variant, as written.
        self.placeholders = frozenset(name for each in self._variants.values() for name in each.placeholders)

    def render(self, context: Mapping[str, Any], *, locale: str = "") -> dict[str, Any]:
        """Fill in the context, in the variant for a locale; return what the channel's compiled content returns.

        Raises ``ContentError`` naming template, version and placeholder.
        """
        try:
            return self._variants[choose_variant(self._variants, locale)].render(context)
        except ContentError as error:
            where = f"Template {self.slug!r}, version {self.number}"
            raise ContentError(f"{where}: {error.message}", field=error.field, placeholder=error.placeholder) from None


def compiled_version(version_id: UUID) -> CompiledTemplate:
    """Return a version of the tenant's, compiled. Needs the tenant's scope. Raises ``NotFound``."""
    return _compiled(current_tenant_id(), version_id)


def compiled_versions(version_ids: Iterable[UUID]) -> dict[UUID, CompiledTemplate]:
    """Return those of several versions that there are and that can be compiled. Needs the tenant's scope."""
    found: dict[UUID, CompiledTemplate] = {}
    for version_id in version_ids:
        with contextlib.suppress(NotFound, ContentError):
            found[version_id] = compiled_version(version_id)
    return found


class Label(NamedTuple):
    """How people call a version."""

    slug: str
    number: int


def label_of(version_id: UUID) -> Label | None:
    """Return slug and number of a version that the current scope may see, or None if there is none."""
    try:
        return _label(version_id)
    except MessageTemplateVersion.DoesNotExist:
        return None


@lru_cache(maxsize=4096)
def _label(version_id: UUID) -> Label:
    return Label(*MessageTemplateVersion.objects.values_list("template__slug", "number").get(id=version_id))


# By tenant too: whoever knows another tenant's version by its id gets nothing from this cache.
@lru_cache(maxsize=512)
def _compiled(tenant_id: UUID, version_id: UUID) -> CompiledTemplate:
    version = MessageTemplateVersion.objects.select_related("template").filter(id=version_id).first()
    if version is None:
        raise NotFound("There is no such version of a template.")
    return CompiledTemplate(version)
