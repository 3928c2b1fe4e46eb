"""What a version would look like: the same rendering as of a message, with samples where there is no value."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from notification_service.lib.errors import ContentInvalid
from notifications.channels.base import ContentError
from notifications.channels.placeholders import Placeholder
from notifications.templates.building import UNSUBSCRIBE
from notifications.templates.declared import Declared
from notifications.templates.models import MessageTemplateVersion
from notifications.templates.rendering import CompiledTemplate
from notifications.templates.samples import guessed_values
from notifications.templates.services import as_written
from tenants.branding import branding_of

#: Lines of a text up to which its differences are shown line by line.
_MAX_LINES: Final = 2_000


def sample_context(version: MessageTemplateVersion, context: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a context with samples for what it lacks, and for which placeholders."""
    filled, guessed = dict(context), guessed_values(version.compiled)
    sampled = []
    for each in version.placeholders:
        name = each["name"]
        if Placeholder(name).find(context) is None:
            declared = Declared(name, each["type"], each["sample"], default=each["default"])
            filled[name] = declared.example(guessed.get(name))
            sampled.append(name)
    return filled, sampled


def preview(
    version: MessageTemplateVersion, context: Mapping[str, Any], *, locale: str = "", strict: bool = False
) -> dict[str, Any]:
    """Render a version (written or not) as a message is; ``strict``: without samples. Needs the tenant's scope.

    Raises ``ContentInvalid`` naming the placeholder or the field.
    """
    filled, sampled = (dict(context), []) if strict else sample_context(version, context)
    filled.setdefault(UNSUBSCRIBE, f"#{UNSUBSCRIBE}")
    try:
        compiled = CompiledTemplate(version, branding_of(version.tenant_id))
        rendered = compiled.render(filled, locale=locale)
    except ContentError as error:
        where = f"context.{error.placeholder}" if error.placeholder else error.field
        raise ContentInvalid(error.message, errors={where: [error.message]}) from None
    return {
        "channel": compiled.channel,
        "version": version.number,
        "locale": locale,
        "variant": compiled.variant(locale),
        "sampled": sampled,
        "rendered": rendered,
    }


def differences(before: MessageTemplateVersion, after: MessageTemplateVersion) -> list[dict[str, Any]]:
    """Return what two versions say differently: ``[{"field", "before", "after", "lines"}]``, in order of fields.

    ``lines`` is a unified diff of texts; None for other values and for very long texts.
    """
    old, new = dict(_leaves(as_written(before))), dict(_leaves(as_written(after)))
    return [
        {"field": name, "before": old.get(name), "after": new.get(name), "lines": _lines(old.get(name), new.get(name))}
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, f"{name}.{index}")
    elif value not in (None, "", [], {}):
        yield name, value


def _lines(before: Any, after: Any) -> list[str] | None:
    if not isinstance(before, str | None) or not isinstance(after, str | None):
        return None
    old, new = (before or "").splitlines(), (after or "").splitlines()
    if len(old) > _MAX_LINES or len(new) > _MAX_LINES:
        return None
    return list(difflib.unified_diff(old, new, lineterm=""))[2:]
