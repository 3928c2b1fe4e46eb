"""The service's own templates: files under ``defaults/``, given to each tenant when it first looks for one.

A tenant's copy follows the files until the tenant changes it; records can name its versions like any other.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from notification_service.lib.ids import new_id
from notification_service.lib.scope import current_tenant_id
from notifications.templates.building import Built, Words, build
from notifications.templates.declared import read_declared
from notifications.templates.models import NO_LAYOUT, Kind, MessageTemplate, MessageTemplateVersion, Source

DEFAULT_LAYOUT: Final = "layout.default"
_FOLDER: Final = Path(__file__).parent / "defaults"
#: Tenants that have everything that the files of this process say.
_complete: set[UUID] = set()


@dataclass(frozen=True, slots=True)
class Default:
    """A template of a file."""

    slug: str
    name: str
    channel: str
    kind: str
    category: str
    description: str
    words: Words


@lru_cache(maxsize=1)
def defaults() -> Mapping[str, Default]:
    """Return the templates of all files by slug, layouts first."""
    found = [each for path in sorted(_FOLDER.glob("*.toml")) for each in _read(path)]
    found.sort(key=lambda each: (each.kind != Kind.LAYOUT, each.slug))
    return {each.slug: each for each in found}


def ensure() -> bool:
    """Give the current tenant those system templates that it lacks; return whether there were any. Needs its scope."""
    tenant_id = current_tenant_id()
    if tenant_id in _complete:
        return False
    one_at_a_time()  # who asks at the same moment waits, and finds them made
    wanted = defaults()
    rows = MessageTemplate.objects.filter(slug__in=wanted.keys(), deleted_at=None)
    have = {template.slug: template for template in rows}
    known = set(
        MessageTemplateVersion.objects.filter(template__in=have.values()).values_list("template__slug", "checksum")
    )
    stale = [
        each
        for each in wanted.values()
        # An earlier release's words, met while two releases run side by side, do not come back.
        if each.slug not in have
        or (have[each.slug].source == Source.SYSTEM and (each.slug, _built(each.slug).checksum) not in known)
    ]
    if stale:
        _write(tenant_id, stale, have)
    transaction.on_commit(lambda: _complete.add(tenant_id))
    return bool(stale)


def one_at_a_time() -> None:
    """Wait until nobody else makes templates of the current tenant; others wait to the end of this transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", [f"templates:{current_tenant_id()}"])


def forget(tenant_id: UUID) -> None:
    """Look again at the next use whether a tenant has everything."""
    _complete.discard(tenant_id)


def _write(tenant_id: UUID, stale: list[Default], have: Mapping[str, MessageTemplate]) -> None:
    now = timezone.now()
    layout = _layout()
    templates, versions, new = [], [], []
    for each in stale:
        template = have.get(each.slug)
        if template is None:
            template = MessageTemplate(
                id=new_id(), tenant_id=tenant_id, slug=each.slug, channel=each.channel, kind=each.kind,
                source=Source.SYSTEM, created_by="system",
            )  # fmt: skip
            new.append(template)
        template.name, template.category, template.description = each.name, each.category, each.description
        built, in_layout = _built(each.slug), _is_in_layout(each)
        if each.slug == DEFAULT_LAYOUT:
            layout = template
        number = (template.latest.number if template.latest else 0) + 1
        version = MessageTemplateVersion(
            id=new_id(), tenant_id=tenant_id, template=template, number=number, content=dict(each.words.content),
            variants=dict(each.words.variants), locale=each.words.locale, placeholders=built.placeholders,
            layout=each.words.layout, compiled=dict(built.contents), checksum=built.checksum,
            created_by="system",
        )  # fmt: skip
        if in_layout and layout is not None:
            own = layout.published.compiled[""]["html"] if layout.published else None
            version.layout_version_id = layout.published_id
            if layout.source == Source.TENANT and own is not None:
                version.compiled = dict(build(each.channel, each.words, layout=own).contents)
        versions.append(version)
        templates.append(template)
        if layout is template:
            template.published = version
    MessageTemplate.objects.bulk_create([_without_versions(template) for template in new])
    MessageTemplateVersion.objects.bulk_create(versions)
    for template, version in zip(templates, versions, strict=True):
        template.published = template.latest = version
        template.published_at = template.updated_at = now
    MessageTemplate.objects.bulk_update(
        templates,
        ["name", "category", "description", "published", "latest", "published_at", "updated_at"],
    )


def _without_versions(template: MessageTemplate) -> MessageTemplate:
    """A row to insert before its versions are there."""
    template.published = template.latest = None
    return template


def _layout() -> MessageTemplate | None:
    rows = MessageTemplate.objects.filter(slug=DEFAULT_LAYOUT, deleted_at=None)
    return rows.select_related("published").first()


def _is_in_layout(each: Default) -> bool:
    return each.channel == "email" and each.kind == Kind.MESSAGE and each.words.layout != NO_LAYOUT


@lru_cache(maxsize=512)
def _built(slug: str) -> Built:
    each = defaults()[slug]
    layout = None
    if _is_in_layout(each):
        layout = _built(DEFAULT_LAYOUT).contents[""]["html"]
    return build(each.channel, each.words, layout=layout, is_layout=each.kind == Kind.LAYOUT)


def _read(path: Path) -> list[Default]:
    """Read a file: what its templates share, and a table of content for each channel (``[email]``)."""
    said: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    kind = said.get("kind", Kind.MESSAGE)
    declared = tuple(read_declared(said.get("placeholders", [])))
    found = []
    for channel, content in said["content"].items():
        variants = {tag: contents[channel] for tag, contents in said.get("variants", {}).items() if channel in contents}
        slug = said.get("slug") or f"{path.stem}.{channel}"
        used = tuple(each for each in declared if _uses((content, variants), each.name))
        words = Words(content, variants, said.get("locale", "en"), used, said.get("layout", ""))
        found.append(
            Default(slug, said["name"], channel, kind, said.get("category", ""), said.get("description", ""), words)
        )
    return found


def _uses(content: Any, name: str) -> bool:
    return re.search(rf"\{{[{{%][^{{}}]*(?<![\w.]){re.escape(name)}(?![\w.])", str(content)) is not None
