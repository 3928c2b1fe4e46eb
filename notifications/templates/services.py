"""Verbs of templates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from notification_service.lib.errors import Conflict, InvalidInput, NotFound
from notification_service.lib.scope import current_tenant_id
from notifications.channels.registry import channels
from notifications.templates import lookups, system
from notifications.templates.building import Words, build, slug_of
from notifications.templates.declared import read_declared
from notifications.templates.locales import normal_locale
from notifications.templates.models import MAX_SLUG, NO_LAYOUT, Kind, MessageTemplate, MessageTemplateVersion, Source
from tenants import audit
from tenants.callers import Caller

_SLUG: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_SLUG - 1}}}")
_WORDS: Final = ("content", "variants", "locale", "placeholders", "layout")
#: Fields that name what lookups list.
_NAMING: Final = ("category", "content", "variants", "locale")


@dataclass(frozen=True, slots=True)
class NewTemplate:
    """A template as a caller asks for it. Without a slug it gets one of its name."""

    name: str
    channel: str
    content: Mapping[str, Any]
    slug: str = ""
    kind: str = Kind.MESSAGE
    category: str = ""
    description: str = ""
    variants: Mapping[str, Mapping[str, Any]] | None = None
    locale: str = ""
    placeholders: tuple[Any, ...] = ()
    layout: str = ""
    publish: bool = True


def resolve(key: str, *, channel: str | None = None) -> MessageTemplateVersion:
    """Return the published version of a template by its slug or id: the tenant's own, else the system's.

    With a ``channel``, ``reward_issued`` also finds ``reward_issued.email``. Needs the tenant's scope. Raises
    ``InvalidInput`` naming ``template``: there is none, it is not published, or it is for another channel.
    """
    template = _find(key, channel)
    if _may_be_older(template, key, f"{key}.{channel}") and system.ensure():
        template = _find(key, channel)
    if template is None or template.kind != Kind.MESSAGE:
        _refuse("template", f"There is no template {key[:MAX_SLUG]!r}.")
    if channel and template.channel != channel:
        _refuse("template", f"The template {template.slug!r} is for {template.channel}, not for {channel}.")
    if template.published is None:
        _refuse("template", f"The template {template.slug!r} has no published version.")
    template.published.template = template
    return template.published


def templates() -> QuerySet[MessageTemplate]:
    """Return the tenant's templates and the system's, newest first. Needs the tenant's scope."""
    system.ensure()
    return MessageTemplate.objects.filter(deleted_at=None).select_related("latest", "published")


def get_template(key: str | UUID, *, lock: bool = False) -> MessageTemplate:
    """Return a template by id or slug. Needs the tenant's scope. Raises ``NotFound``."""
    rows = MessageTemplate.objects.filter(deleted_at=None).select_related("latest", "published")
    template_id = key if isinstance(key, UUID) else _as_uuid(key)
    rows = rows.filter(id=template_id) if template_id else rows.filter(slug=key)
    if lock:
        _lock(rows)
    found = rows.first()
    if _may_be_older(found, str(key)) and system.ensure():
        found = rows.all().first()
    if found is None:
        raise NotFound
    return found


def _lock(rows: QuerySet[MessageTemplate]) -> None:
    """Lock templates. Their versions are read afterwards: a query that waits sees none that came meanwhile."""
    list(rows.select_related(None).order_by("id").select_for_update(of=("self",), no_key=True).only("id"))


def get_version(template: MessageTemplate, number: int | None = None) -> MessageTemplateVersion:
    """Return a version of a template by its number, or the latest. Raises ``NotFound``."""
    rows = MessageTemplateVersion.objects.filter(template=template)
    found = (rows.filter(number=number) if number is not None else rows).order_by("-number").first()
    if found is None:
        raise NotFound("There is no such version.")
    found.template = template
    return found


def create_template(caller: Caller, new: NewTemplate) -> MessageTemplate:
    """Make a template with its first version. Needs the tenant's scope.

    A slug that only a system template has is taken over: from then on the tenant's own counts. Raises
    ``InvalidInput`` and ``ContentInvalid`` naming the field, ``Conflict`` for a slug that is taken.
    """
    if new.channel not in channels:
        _refuse("channel", f"Unknown channel {new.channel!r}; known: {', '.join(channels.keys())}.")
    if new.kind == Kind.LAYOUT and new.channel != "email":
        _refuse("kind", "Only email has layouts.")
    _check_named(new.channel, {name: getattr(new, name) for name in _NAMING})
    words = _words(
        {"content": new.content, "variants": new.variants, "locale": new.locale, "placeholders": new.placeholders,
         "layout": new.layout}
    )  # fmt: skip
    system.ensure()
    system.one_at_a_time()
    slug = _free_slug(new)
    template = MessageTemplate.objects.filter(slug=slug, deleted_at=None).select_for_update().first()
    if template is None:
        template = MessageTemplate(slug=slug, kind=new.kind, tenant_id=current_tenant_id())
    elif (template.channel, template.kind) != (new.channel, new.kind):
        _refuse("slug", f"{slug!r} is a {template.kind} for {template.channel}; yours must be one too.")
    template.name, template.channel, template.source = new.name, new.channel, Source.TENANT
    template.category, template.description = new.category, new.description
    template.created_by = _name(caller)
    template.save()
    _write(template, words, by=_name(caller), publish=new.publish)
    audit.record(caller, "template.created", "template", template.id, slug=slug, version=_number(template.latest))
    return template


def update_template(caller: Caller, key: str | UUID, changes: Mapping[str, Any]) -> MessageTemplate:
    """Change a template; other words are a new version, published unless ``publish`` is false.

    A system template becomes the tenant's own by it. Raises ``NotFound``, and as ``create_template`` does.
    """
    template = get_template(key, lock=True)
    for fixed in ("slug", "channel", "kind"):
        if fixed in changes and changes[fixed] != getattr(template, fixed):
            _refuse(fixed, "Can not be changed: records and callers know the template by it.")
    _check_named(template.channel, changes)
    before = _facts(template)
    for name in ("name", "category", "description"):
        setattr(template, name, changes.get(name, getattr(template, name)))
    template.source = Source.TENANT
    template.save()
    latest = get_version(template)
    words = _changed(latest, changes)
    publish = changes.get("publish", True)
    if _built(template, words, number=0).checksum != latest.checksum:
        _write(template, words, by=_name(caller), publish=publish, comment=changes.get("comment", ""))
    elif publish and template.published_id != latest.id:
        _publish(template, latest, by=_name(caller))
    audit.record(caller, "template.updated", "template", template.id, before=before, after=_facts(template))
    return template


def delete_template(caller: Caller, key: str | UUID) -> None:
    """Delete a template; what was accepted with it is still sent. A system template it took the place of is back.

    Raises ``NotFound``, and ``Conflict`` for a system template and for a layout that is in use.
    """
    template = get_template(key, lock=True)
    if template.source == Source.SYSTEM:
        raise Conflict("A system template can not be deleted; change it, and the change is yours.", code="system")
    if template.kind == Kind.LAYOUT and (users := list(_users_of(template.slug)[:3])):
        names = ", ".join(user.slug for user in users)
        raise Conflict(f"The layout is in use: {names}.", code="in_use", errors={"layout": [f"Used by {names}."]})
    template.deleted_at = timezone.now()
    template.save()
    audit.record(caller, "template.deleted", "template", template.id, slug=template.slug)
    system.forget(template.tenant_id)
    system.ensure()


def publish_version(caller: Caller, key: str | UUID, number: int | None = None) -> MessageTemplate:
    """Publish a version (the latest if none is said). If its layout has changed since, that is a new version.

    Raises ``NotFound``, ``ContentInvalid``.
    """
    template = get_template(key, lock=True)
    before = _number(template.published)
    _publish(template, get_version(template, number), by=_name(caller))
    audit.record(
        caller, "template.published", "template", template.id,
        before={"version": before}, after={"version": _number(template.published)},
    )  # fmt: skip
    return template


def restore_version(caller: Caller, key: str | UUID, number: int, *, publish: bool = True) -> MessageTemplate:
    """Make the words of an earlier version the newest ones: as a new version. Raises ``NotFound``."""
    template = get_template(key, lock=True)
    earlier = get_version(template, number)
    template.source = Source.TENANT
    template.save()
    words = _words(as_written(earlier))
    _write(template, words, by=_name(caller), publish=publish, comment=f"version {number} again")
    audit.record(
        caller, "template.restored", "template", template.id, version=number, as_version=_number(template.latest)
    )
    return template


def draft(
    template: MessageTemplate, version: MessageTemplateVersion, changes: Mapping[str, Any]
) -> MessageTemplateVersion:
    """Return a version with other words that is not written: for a preview. Raises as ``update_template`` does."""
    return _built(template, _changed(version, changes), number=version.number)


def as_written(version: MessageTemplateVersion) -> dict[str, Any]:
    """Return the words of a version as a caller would give them."""
    return {name: getattr(version, name) for name in _WORDS}


def _check_named(channel: str, given: Mapping[str, Any]) -> None:
    """Raise ``InvalidInput`` naming the field for what a caller names that is not listed."""
    if given.get("category"):
        lookups.check("category", given["category"])
    if given.get("locale"):
        lookups.check_locale(_locale(given["locale"], "locale"))
    variants = given.get("variants") or {}
    for tag in variants:
        lookups.check_locale(_locale(tag, f"variants.{tag}"), field=f"variants.{tag}")
    if channel == "inapp":
        contents = {"content": given.get("content"), **{f"variants.{tag}": variants[tag] for tag in variants}}
        for where, content in contents.items():
            priority = content.get("priority") if isinstance(content, Mapping) else None
            if isinstance(priority, str):
                lookups.check("priority", priority, field=f"{where}.priority")


def _changed(version: MessageTemplateVersion, changes: Mapping[str, Any]) -> Words:
    """Return the words of a version with some of them changed."""
    words = _words({**as_written(version), **{name: changes[name] for name in _WORDS if name in changes}})
    return replace(words, carried="placeholders" not in changes)


def _words(given: Mapping[str, Any]) -> Words:
    variants: dict[str, Mapping[str, Any]] = {}
    for tag, content in (given["variants"] or {}).items():
        if not isinstance(content, Mapping):
            _refuse(f"variants.{tag}", "Must be a content.")
        locale = _locale(tag, f"variants.{tag}")
        if locale in variants:
            _refuse(f"variants.{tag}", f"There is another variant for {locale}.")
        variants[locale] = content
    locale = _locale(given["locale"], "locale") if given["locale"] else ""
    layout = given["layout"] or ""
    return Words(given["content"], variants, locale, tuple(read_declared(given["placeholders"])), layout)


def _locale(tag: str, where: str) -> str:
    try:
        return normal_locale(tag)
    except ValueError as error:
        _refuse(where, str(error))


def _write(template: MessageTemplate, words: Words, *, by: str, publish: bool, comment: str = "") -> None:
    """Write a new version and make it the latest one. The template's row is locked or new."""
    number = (_number(template.latest) or 0) + 1
    version = _built(template, words, number=number)
    version.created_by, version.comment = by, comment
    version.save()
    template.latest = version
    if publish:
        template.published, template.published_at = version, timezone.now()
    template.save()
    if publish and template.kind == Kind.LAYOUT:
        _relay(template, by=by)


def _publish(template: MessageTemplate, version: MessageTemplateVersion, *, by: str) -> None:
    layout = _layout_of(template, version.layout)
    if version.layout_version_id != (layout.published_id if layout else None):
        words = _words(as_written(version))
        return _write(template, words, by=by, publish=True, comment=f"version {version.number} in today's layout")
    template.published, template.published_at = version, timezone.now()
    template.save()
    if template.kind == Kind.LAYOUT:
        _relay(template, by=by)
    return None


def _relay(layout: MessageTemplate, *, by: str) -> None:
    """Give every published template in a layout a new version: those that are on their way keep the old one."""
    users = _users_of(layout.slug)
    _lock(users)
    for user in users:
        if user.published is not None:
            is_latest = user.latest_id == user.published_id
            latest = user.latest
            words = _words(as_written(user.published))
            comment = f"layout {layout.slug} is at version {_number(layout.published)}"
            _write(user, words, by=by, publish=True, comment=comment[:255])
            if not is_latest and latest is not None:  # the draft that waited stays the newest words
                _write(user, _words(as_written(latest)), by=by, publish=False, comment=latest.comment)


def _users_of(slug: str) -> QuerySet[MessageTemplate]:
    chosen = ["", slug] if slug == system.DEFAULT_LAYOUT else [slug]
    return MessageTemplate.objects.filter(
        deleted_at=None, kind=Kind.MESSAGE, channel="email", published__layout__in=chosen
    ).select_related("latest", "published")


def _built(template: MessageTemplate, words: Words, *, number: int) -> MessageTemplateVersion:
    layout = _layout_of(template, words.layout)
    html = layout.published.compiled[""]["html"] if layout and layout.published else None
    built = build(template.channel, words, layout=html, is_layout=template.kind == Kind.LAYOUT)
    return MessageTemplateVersion(
        tenant_id=template.tenant_id,
        template=template,
        number=number,
        content=dict(words.content),
        variants=dict(words.variants),
        locale=words.locale,
        placeholders=built.placeholders,
        layout=words.layout,
        layout_version=layout.published if layout else None,
        compiled=dict(built.contents),
        checksum=built.checksum,
    )


def _layout_of(template: MessageTemplate, slug: str) -> MessageTemplate | None:
    """Return the layout that a template's mails are shown in, or None. Raises ``InvalidInput`` for ``layout``."""
    if template.channel != "email" or template.kind == Kind.LAYOUT:
        if slug not in ("", NO_LAYOUT):
            _refuse("layout", "Only messages by email have a layout.")
        return None
    if slug == NO_LAYOUT:
        return None
    rows = MessageTemplate.objects.filter(slug=slug or system.DEFAULT_LAYOUT, kind=Kind.LAYOUT, deleted_at=None)
    found = rows.select_related("published").first()
    if found is None or found.published is None:
        _refuse("layout", f"There is no published layout {slug!r}.")
    return found


def _free_slug(new: NewTemplate) -> str:
    if new.slug:
        if not _SLUG.fullmatch(new.slug) or _as_uuid(new.slug):
            _refuse("slug", "Use letters, digits, '.', '_' and '-'.")
        if MessageTemplate.objects.filter(slug=new.slug, deleted_at=None, source=Source.TENANT).exists():
            raise Conflict(f"The slug {new.slug!r} is taken.", code="slug_taken", errors={"slug": ["Is taken."]})
        return new.slug
    stem = slug_of(new.name)
    taken = set(MessageTemplate.objects.filter(slug__startswith=stem, deleted_at=None).values_list("slug", flat=True))
    return next(slug for n in range(1, len(taken) + 2) if (slug := stem if n == 1 else f"{stem}-{n}") not in taken)


def _may_be_older(found: MessageTemplate | None, *slugs: str) -> bool:
    """Whether the files may say something else than what was found under a slug: more, or newer words."""
    if found is None:
        return any(slug in system.defaults() for slug in slugs)
    return found.source == Source.SYSTEM


def _find(key: str, channel: str | None) -> MessageTemplate | None:
    rows = MessageTemplate.objects.filter(deleted_at=None).select_related("published")
    if template_id := _as_uuid(key):
        return rows.filter(id=template_id).first()
    slugs = [key, f"{key}.{channel}"] if channel else [key]
    found = {template.slug: template for template in rows.filter(slug__in=slugs)}
    exact = found.get(key)
    if exact is not None and (channel is None or exact.channel == channel):
        return exact
    return found.get(f"{key}.{channel}", exact)


def _facts(template: MessageTemplate) -> dict[str, Any]:
    facts = {name: getattr(template, name) for name in ("name", "category", "description", "source")}
    return facts | {"version": _number(template.latest), "published": _number(template.published)}


def _number(version: MessageTemplateVersion | None) -> int | None:
    return version.number if version else None


def _name(caller: Caller) -> str:
    return (caller.actor_label or caller.actor_id)[:255]


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _refuse(place: str, message: str) -> NoReturn:
    raise InvalidInput.at(place, message)
