"""The in-app channel: a message in the recipient's inbox, shown by a tenant's own site or app."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from notifications.channels.base import Channel, CompiledContent, ContentError
from notifications.channels.json_content import compile_tree, placeholders_of, render_tree, validated
from notifications.channels.placeholders import TextCompiler, compile_text

MAX_TITLE = 200
MAX_BODY = 10_000
MAX_URL = 2048
MAX_USER_ID = 255
MAX_BUTTONS = 5
#: Octets of ``data`` as compact JSON.
MAX_DATA = 16 * 1024
#: Placeholders may make a text shorter than its template.
_MAX_SOURCE = 20_000
#: An address of the web, or a path of the page's own site. Never a scheme that runs something, such as javascript.
_LINK = re.compile(r"https?://[^\s/?#@\\]+(?:[/?#]\S*)?|/(?![/\\])\S*|[#?]\S*", re.IGNORECASE)

_CLOSED = ConfigDict(extra="forbid", strict=True)


class InAppAction(BaseModel):
    """Where a click leads."""

    model_config = _CLOSED

    url: str = Field(min_length=1, max_length=MAX_URL, description="http(s) address, or a path such as `/invoices/7`.")
    label: str | None = Field(None, min_length=1, max_length=MAX_TITLE, description="What the button says.")


class InAppButton(BaseModel):
    """A button of a message: it leads somewhere, or does what the page knows by a name."""

    model_config = _CLOSED

    label: str = Field(min_length=1, max_length=MAX_TITLE, description="What it says.")
    url: str | None = Field(None, min_length=1, max_length=MAX_URL, description="http(s) address, or a path.")
    callback: str | None = Field(
        None, pattern=r"^[A-Za-z0-9._:-]{1,100}$", description="Instead of an address: a name that the page knows."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.url is None) == (self.callback is None):
            raise ValueError("a button has either a url or a callback")
        return self


class InAppContent(BaseModel):
    """What an in-app message says. Texts may hold placeholders; a title or a body is needed. It is text, not HTML."""

    model_config = _CLOSED

    title: str | None = Field(None, max_length=_MAX_SOURCE, description=f"At most {MAX_TITLE} characters when shown.")
    body: str | None = Field(None, max_length=_MAX_SOURCE, description=f"At most {MAX_BODY} characters when shown.")
    action: InAppAction | None = None
    actions: list[InAppButton] | None = Field(None, max_length=MAX_BUTTONS, description="Buttons below the text.")
    sound: str | None = Field(None, pattern=r"^[A-Za-z0-9._-]{1,100}$", description="Name of a sound to play.")
    priority: Literal["low", "normal", "high", "urgent"] = "normal"
    image: str | None = Field(None, min_length=1, max_length=MAX_URL, description="Address of a picture.")
    data: dict[str, Any] | None = Field(None, description="Anything that the site or app wants to know.")
    expires_at: str | None = Field(
        None, description="When it leaves the inbox, read or not (RFC 3339, with a time zone)."
    )

    @field_validator("expires_at")
    @classmethod
    def _has_a_zone(cls, value: str | None) -> str | None:
        if value is not None and datetime.fromisoformat(value).tzinfo is None:
            raise ValueError("give the time zone, such as 2027-01-31T18:00:00Z")
        return value


class CompiledInApp(CompiledContent):
    """An in-app message whose placeholders are found."""

    def __init__(self, content: Mapping[str, Any], texts: TextCompiler) -> None:
        self._tree = compile_tree(content, "", texts)
        self.placeholders = placeholders_of(self._tree)

    def render(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Return the content with its values; see ``CompiledContent.render``.

        Values are not escaped: whoever shows a message shows it as text. Links are checked once they are complete.
        """
        rendered: dict[str, Any] = render_tree(self._tree, context)
        for name, limit in (("title", MAX_TITLE), ("body", MAX_BODY)):
            if len(rendered.get(name, "")) > limit:
                raise ContentError(
                    f"The {name} has {len(rendered[name])} characters; at most {limit} are allowed.", field=name
                )
        buttons = [(f"actions.{n}.url", each.get("url")) for n, each in enumerate(rendered.get("actions") or ())]
        own = [("action.url", rendered.get("action", {}).get("url")), ("image", rendered.get("image"))]
        for field, link in (*own, *buttons):
            if link is not None and not (_LINK.fullmatch(link) and link.isprintable() and len(link) <= MAX_URL):
                raise ContentError(f"{field}: This is neither an http(s) address nor a path.", field=field)
        _bounded(rendered.get("data"))
        return rendered


class InAppChannel(Channel):
    """Messages in the inbox."""

    key: ClassVar[str] = "inapp"
    label: ClassVar[str] = "In-app"
    providers: ClassVar[tuple[str, ...]] = ("inapp",)
    content: ClassVar[type[BaseModel]] = InAppContent

    def normalise_address(self, address: str, *, region: str | None = None) -> str:
        """Return a user's id, without the white space around it; its case counts. Raises ``ContentError``."""
        text = address.strip()
        if not 1 <= len(text) <= MAX_USER_ID or not text.isprintable():
            raise ContentError(
                f"A user id has 1 to {MAX_USER_ID} characters, none of them a control character.", field="recipient"
            )
        return text

    def user_id_of(self, address: str) -> str:
        """Return the address: inboxes are addressed by their owners' ids."""
        return address

    def validate(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that are set, checked. Raises ``ContentError`` naming the field."""
        valid = validated(InAppContent, content)
        if not any(valid.get(name, "").strip() for name in ("title", "body")):
            raise ContentError("An in-app message needs a title or a body.", field="title")
        _bounded(valid.get("data"))
        return valid

    def compile(self, content: Mapping[str, Any], texts: TextCompiler | None = None) -> CompiledInApp:
        """Find the placeholders. Raises ``ContentError`` for a malformed one."""
        return CompiledInApp(content, texts or compile_text)


def _bounded(data: Any) -> None:
    try:
        size = len(orjson.dumps(data))
    except TypeError:  # not JSON, too deep, or half a character
        raise ContentError("data: This is not a JSON object that can be stored.", field="data") from None
    if size > MAX_DATA:
        raise ContentError(f"data: At most {MAX_DATA // 1024} KiB of JSON are allowed.", field="data")
