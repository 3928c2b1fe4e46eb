"""The channel for chat rooms and the like: a title and a body for any destination that Apprise knows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from notifications.channels.base import Channel, CompiledContent, ContentError
from notifications.channels.json_content import validated
from notifications.channels.placeholders import TextCompiler, compile_text

MAX_TITLE = 250
#: Characters of a body, after the values are filled in. What a service can not show, Apprise cuts or splits.
MAX_BODY = 20_000
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_BREAKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_UNSENDABLE = re.compile(r"[\x00\ud800-\udfff]")


class AppriseContent(BaseModel):
    """What a chat message says. Title and body may hold placeholders; values are filled in as they are."""

    model_config = ConfigDict(extra="forbid", strict=True)

    title: str | None = Field(None, max_length=MAX_TITLE, description="One line; line breaks become spaces.")
    body: str = Field(min_length=1, max_length=MAX_BODY)
    format: Literal["text", "markdown"] = Field("text", description="How the body is written.")


class CompiledApprise(CompiledContent):
    """A chat message whose placeholders are found."""

    def __init__(self, content: Mapping[str, Any], texts: TextCompiler) -> None:
        self._title = texts(content.get("title") or "", "title")
        self._body = texts(content["body"], "body")
        self._format = content.get("format", "text")
        self.placeholders = frozenset((*self._title.placeholders, *self._body.placeholders))

    def render(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``{"title", "body", "format"}``."""
        title = _BREAKS.sub(" ", self._title.render(context)).strip()
        body = self._body.render(context)
        if not body.strip():
            raise ContentError("The body is empty.", field="body")
        for field, text, limit in (("title", title, MAX_TITLE), ("body", body, MAX_BODY)):
            if len(text) > limit:
                raise ContentError(f"The {field} has {len(text)} characters; at most {limit} are allowed.", field=field)
            if _UNSENDABLE.search(text):
                raise ContentError(f"The {field} has a character that can not be sent.", field=field)
        return {"title": title, "body": body, "format": self._format}


class AppriseChannel(Channel):
    """Slack, Microsoft Teams, Discord, Telegram and other chat services; a recipient is the name of a destination."""

    key: ClassVar[str] = "apprise"
    label: ClassVar[str] = "Chat services"
    providers: ClassVar[tuple[str, ...]] = ("apprise",)
    content: ClassVar[type[BaseModel]] = AppriseContent

    def normalise_address(self, address: str, *, region: str | None = None) -> str:
        """Return the name of a destination of the credential, in lower case. Raises ``ContentError``."""
        name = address.strip().lower()
        if not _NAME.fullmatch(name):
            raise ContentError(
                "The recipient is the name of a destination of the credential: letters, digits, '.', '_' and '-'.",
                field="recipient",
            )
        return name

    def validate(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that are set, checked. Raises ``ContentError`` naming the field."""
        valid = validated(AppriseContent, content)
        if not valid["body"].strip():
            raise ContentError("The body is empty.", field="body")
        return valid

    def compile(self, content: Mapping[str, Any], texts: TextCompiler | None = None) -> CompiledApprise:
        """Find the placeholders. Raises ``ContentError`` for a malformed one."""
        return CompiledApprise(content, texts or compile_text)
