"""Versions made ready to be filled in: compiled once in each process, as they never change."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from babel import Locale

from notification_service.lib.errors import NotFound
from notification_service.lib.scope import PlatformScope, Scope, current_scope, current_tenant_id
from notifications.channels.base import CompiledContent, ContentError
from notifications.channels.registry import channels
from notifications.templates.declared import Checks
from notifications.templates.language.compiler import texts_in
from notifications.templates.locales import choose_variant, fallbacks, formats_of, language_of
from notifications.templates.models import MessageTemplateVersion
from tenants.branding import Branding, branding_of

#: Languages that one version is kept ready for; others take a little longer.
_MAX_COMPILED: Final = 64


class CompiledTemplate:
    """A version of a template in a tenant's looks, ready for many contexts. Has no business with the database."""

    def __init__(self, version: MessageTemplateVersion, branding: Branding) -> None:
        self.channel = version.template.channel
        self.slug = version.template.slug
        self.number = version.number
        self._contents: Mapping[str, Mapping[str, Any]] = version.compiled
        self._tenant_locale = branding.locale
        #: The language of the content that counts where there is no other, and which content a language means.
        self._own_locale = version.locale or branding.locale
        self._variants = {tag: tag for tag in self._contents if tag}
        for tag in fallbacks(self._own_locale) if version.locale else ():
            self._variants.setdefault(tag, "")
        self._bound = branding.variables()
        self._checks = Checks(version.placeholders)
        self._compiled: dict[tuple[str, Locale], CompiledContent] = {}
        self._by_locale: dict[str, CompiledContent] = {}
        every = [self._content(variant, variant or self._own_locale) for variant in self._contents]
        #: Names of the placeholders of every variant, as written.
        self.placeholders = frozenset(name for each in every for name in each.placeholders)
        #: Those that need not have a value.
        self.optional = self._checks.optional & self.placeholders

    def render(self, context: Mapping[str, Any], *, locale: str = "") -> dict[str, Any]:
        """Fill in the context, in the recipient's language or the tenant's, else in that of the content itself.

        Returns what the channel's compiled content returns. Raises ``ContentError`` naming template, version and
        placeholder.
        """
        try:
            content = self._by_locale.get(locale) or self._in(locale)
            return content.render(self._checks.completed(context))
        except ContentError as error:
            where = f"Template {self.slug!r}, version {self.number}"
            raise ContentError(f"{where}: {error.message}", field=error.field, placeholder=error.placeholder) from None

    def variant(self, locale: str) -> str:
        """Return which variant a recipient of this language gets; ``""`` is the content itself."""
        chosen = choose_variant(self._variants, locale, self._tenant_locale)
        return self._variants[chosen] if chosen else ""

    def _in(self, locale: str) -> CompiledContent:
        variant = self.variant(locale)
        written_in = variant or self._own_locale
        # Words in Portuguese have dates as in Brazil for who asked for that; but not German dates in English words.
        same_language = language_of(locale) == language_of(written_in)
        content = self._content(variant, locale if same_language else written_in)
        if len(self._by_locale) < _MAX_COMPILED:
            self._by_locale[locale] = content
        return content

    def _content(self, variant: str, tag: str) -> CompiledContent:
        formats = formats_of(tag)
        if (found := self._compiled.get((variant, formats))) is None:
            if len(self._compiled) >= _MAX_COMPILED:
                formats = formats_of(variant or self._own_locale)
            texts = texts_in(formats, self._bound, self._checks.optional)
            found = channels.get(self.channel).compile(self._contents[variant], texts)
            self._compiled[variant, formats] = found
        return found


def compiled_version(version_id: UUID) -> CompiledTemplate:
    """Return a version of the tenant's, compiled. Needs the tenant's scope. Raises ``NotFound``, ``ContentError``."""
    tenant_id = current_tenant_id()
    return _compiled(tenant_id, version_id, branding_of(tenant_id))


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
        return _label(_visible_to(), version_id)
    except MessageTemplateVersion.DoesNotExist:
        return None


def _visible_to() -> Scope | None:
    """Return what a cache must tell apart: a tenant, or everybody at once."""
    scope = current_scope()
    return PlatformScope("") if isinstance(scope, PlatformScope) else scope


# By scope too: whoever knows another tenant's version by its id gets nothing from this cache.
@lru_cache(maxsize=4096)
def _label(_scope: Scope | None, version_id: UUID) -> Label:
    return Label(*MessageTemplateVersion.objects.values_list("template__slug", "number").get(id=version_id))


# By tenant too: whoever knows another tenant's version by its id gets nothing from this cache.
@lru_cache(maxsize=512)
def _compiled(tenant_id: UUID, version_id: UUID, branding: Branding) -> CompiledTemplate:
    version = MessageTemplateVersion.objects.select_related("template").filter(id=version_id).first()
    if version is None:
        raise NotFound("There is no such version of a template.")
    return CompiledTemplate(version, branding)
