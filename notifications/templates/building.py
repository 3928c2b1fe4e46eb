"""From what was written to what is sent: contents checked, placeholders found, markup made ready."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import orjson

from notification_service.lib.errors import ContentInvalid, InvalidInput
from notifications.channels.base import Channel, ContentError
from notifications.channels.email import is_markup
from notifications.channels.registry import channels
from notifications.templates import markup
from notifications.templates.declared import Declared
from notifications.templates.language.compiler import texts_in
from notifications.templates.locales import formats_of
from tenants.branding import VARIABLES

#: The link by which a recipient unsubscribes: it has a value in every message, although nobody gives one.
UNSUBSCRIBE: Final = "unsubscribe_url"
MAX_VARIANTS: Final = 100
#: Octets of all contents of a version as JSON.
MAX_CONTENT: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Words:
    """What a version says, as it was written.

    ``carried``: the declarations are those of an earlier version; what is not used any more goes.
    """

    content: Mapping[str, Any]
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    locale: str = ""
    declared: Sequence[Declared] = ()
    layout: str = ""
    carried: bool = False


@dataclass(frozen=True, slots=True)
class Built:
    """What is sent: contents by locale (``""``: the one that counts where there is no other), and placeholders."""

    contents: Mapping[str, Mapping[str, Any]]
    placeholders: list[dict[str, Any]]
    #: The same for the same words, whatever is around them.
    checksum: str


def build(channel_key: str, words: Words, *, layout: str | None, is_layout: bool = False) -> Built:
    """Check words and make them ready; ``layout`` is the HTML that is put around fragments of email.

    Raises ``ContentInvalid`` naming the field (``content.subject``, ``variants.de.body``), ``InvalidInput``.
    """
    channel = channels.get(channel_key)
    if len(words.variants) > MAX_VARIANTS:
        _refuse("variants", f"At most {MAX_VARIANTS} languages are allowed.")
    contents, found = {}, dict[str, None]()
    for locale, content in (("", words.content), *words.variants.items()):
        where = f"variants.{locale}" if locale else "content"
        try:
            contents[locale] = _ready(channel, content, layout, is_layout=is_layout)
            texts = texts_in(formats_of(locale or words.locale), {})
            found.update(dict.fromkeys(sorted(channel.compile(contents[locale], texts).placeholders)))
        except ContentError as error:
            place = f"{where}.{error.field}" if error.field != "content" else where
            raise ContentInvalid(error.message, errors={place: [error.message]}) from None
    if len(orjson.dumps(contents)) > MAX_CONTENT:
        _refuse("content", f"At most {MAX_CONTENT // 1024 // 1024} MiB are allowed for all languages together.")
    own = VARIABLES | {UNSUBSCRIBE} | ({"content"} if is_layout else set())
    names = [name for name in found if name not in own]
    placeholders = _placeholders(names, words)
    said = [words.content, words.variants, words.locale, placeholders, words.layout]
    checksum = hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return Built(contents, placeholders, checksum)


def _ready(channel: Channel, content: Mapping[str, Any], layout: str | None, *, is_layout: bool) -> dict[str, Any]:
    if channel.key != "email":
        return channel.validate(content)
    source = dict(content)
    mjml = source.pop("mjml", None)
    if mjml is not None:
        if not isinstance(mjml, str) or not mjml.strip():
            raise ContentError("mjml: Must be a text.", field="mjml")
        if source.get("html"):
            raise ContentError("mjml: Give either mjml or html.", field="mjml")
        source["html"] = markup.compile_mjml(mjml)
    valid = channel.validate(source)
    if not valid.get("html") and is_markup(valid.get("body", "")):
        valid["html"] = valid.pop("body")
    if html := valid.get("html"):
        if is_layout and not markup.holds_content(html):
            raise ContentError("html: A layout needs {{ content }} in exactly one place.", field="html")
        if layout is not None and not markup.is_document(html):
            html = markup.lay_out(html, layout)
        valid["html"] = html if is_layout else markup.inline_css(html, "html")
    elif is_layout:
        raise ContentError("html: A layout needs HTML.", field="html")
    return channel.validate(valid)


def _placeholders(names: Sequence[str], words: Words) -> list[dict[str, Any]]:
    """Return declared and found placeholders. Raises ``InvalidInput`` for one that is declared and not used."""
    used = []
    for index, each in enumerate(words.declared):
        if any(_is_or_within(name, each.name) for name in names):
            used.append(each)
        elif not words.carried:
            _refuse(f"placeholders.{index}", f"{each.name!r} is not used in the content.")
    undeclared = [name for name in names if not any(_is_or_within(name, each.name) for each in used)]
    return [each.as_json() for each in used] + [Declared(name).as_json() for name in undeclared]


def _is_or_within(name: str, declared: str) -> bool:
    return name == declared or name.startswith(f"{declared}.") or declared.startswith(f"{name}.")


def _refuse(place: str, message: str) -> NoReturn:
    raise InvalidInput.at(place, message)


_SLUG = re.compile(r"[^a-z0-9]+")


def slug_of(name: str) -> str:
    """Return a slug for a name: ``Interview Invite`` → ``interview-invite``."""
    return _SLUG.sub("-", name.lower()).strip("-")[:80] or "template"
