"""The WhatsApp channel: an approved template, a free text, or media.

Shapes and limits are those of https://developers.facebook.com/docs/whatsapp/cloud-api/reference/messages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from notifications.channels.base import Channel, CompiledContent, ContentError
from notifications.channels.json_content import compile_tree, placeholders_of, render_tree, validated
from notifications.channels.placeholders import TextCompiler, compile_text
from notifications.channels.sms import SmsChannel

MAX_TEXT = 4096
MAX_CAPTION = 1024
MAX_URL = 2048
#: Placeholders may make a text shorter than its template.
_MAX_SOURCE = 10_000
_URL = re.compile(r"https?://[^\s/?#@]+(?:[/?#]\S*)?")

_COMPONENTS = ("header", "body", "button", "carousel", "limited_time_offer")

_CLOSED = ConfigDict(extra="forbid", strict=True)


class WhatsAppTemplate(BaseModel):
    """A template that WhatsApp approved, with the values for its variables."""

    model_config = _CLOSED

    name: str = Field(pattern=r"^[a-z0-9_]{1,512}$", description="Name of the approved template.")
    language: str = Field(pattern=r"^[a-z]{2,3}(_[A-Za-z]{2,4})?$", description="Its language, such as `en_US`.")
    components: list[dict[str, Any]] | None = Field(
        None,
        max_length=20,
        description="Values, in the shape of the Cloud API: `type` and `parameters`. Texts may hold placeholders.",
    )

    @model_validator(mode="after")
    def _typed(self) -> WhatsAppTemplate:
        for index, component in enumerate(self.components or ()):
            if str(component.get("type", "")).lower() not in _COMPONENTS:
                raise ValueError(f"components.{index}.type must be one of {', '.join(_COMPONENTS)}")
        return self


class WhatsAppText(BaseModel):
    """Free text; WhatsApp takes it only within 24 hours of the recipient's last message."""

    model_config = _CLOSED

    body: str = Field(min_length=1, max_length=_MAX_SOURCE, description=f"At most {MAX_TEXT} characters when sent.")
    preview_url: bool | None = Field(None, description="Whether the first link is shown with a preview.")


class WhatsAppMedia(BaseModel):
    """A file, by its address or by the id of an upload; within 24 hours of the recipient's last message."""

    model_config = _CLOSED

    type: Literal["image", "video", "audio", "document", "sticker"]
    link: str | None = Field(None, min_length=1, max_length=MAX_URL, description="Public address of the file.")
    id: str | None = Field(
        None, min_length=1, max_length=255, description="Id of a file that was uploaded to WhatsApp."
    )
    caption: str | None = Field(
        None, max_length=_MAX_SOURCE, description=f"At most {MAX_CAPTION} characters when sent."
    )
    filename: str | None = Field(None, min_length=1, max_length=240, description="Name of a document.")

    @model_validator(mode="after")
    def _fits(self) -> WhatsAppMedia:
        if (self.link is None) == (self.id is None):
            raise ValueError("either link or id is needed, not both")
        if self.caption is not None and self.type in ("audio", "sticker"):
            raise ValueError(f"{self.type} can not have a caption")
        if self.filename is not None and self.type != "document":
            raise ValueError("only a document has a filename")
        return self


class WhatsAppContent(BaseModel):
    """What a WhatsApp message is: exactly one of the three."""

    model_config = _CLOSED

    template: WhatsAppTemplate | None = None
    text: WhatsAppText | None = None
    media: WhatsAppMedia | None = None


class CompiledWhatsApp(CompiledContent):
    """A WhatsApp message whose placeholders are found."""

    def __init__(self, content: Mapping[str, Any], texts: TextCompiler) -> None:
        self._tree = compile_tree(content, "", texts)
        self.placeholders = placeholders_of(self._tree)
        self._in_template = "template" in content

    def render(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Return the content with its values; see ``CompiledContent.render``.

        Values in a template become one line: WhatsApp refuses line breaks, tabs and runs of spaces there.
        """
        rendered: dict[str, Any] = render_tree(self._tree, context, _one_line if self._in_template else None)
        if text := rendered.get("text"):
            if not text["body"].strip():
                raise ContentError("The text is empty.", field="text.body")
            _bounded(text["body"], MAX_TEXT, "text.body")
        if media := rendered.get("media"):
            _bounded(media.get("caption", ""), MAX_CAPTION, "media.caption")
            link = media.get("link")
            if link is not None and (not _URL.fullmatch(link) or not link.isprintable() or len(link) > MAX_URL):
                raise ContentError("media.link: This is not an http or https address.", field="media.link")
        return rendered


class WhatsAppChannel(Channel):
    """Messages over WhatsApp."""

    key: ClassVar[str] = "whatsapp"
    label: ClassVar[str] = "WhatsApp"
    providers: ClassVar[tuple[str, ...]] = ("whatsapp_cloud",)
    content: ClassVar[type[BaseModel]] = WhatsAppContent

    def normalise_address(self, address: str, *, region: str | None = None) -> str:
        """Return a telephone number as E.164, as for SMS. Raises ``ContentError``."""
        return _TELEPHONES.normalise_address(address, region=region)

    def validate(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that are set, checked. Raises ``ContentError`` naming the field."""
        valid = validated(WhatsAppContent, content)
        if len(valid) != 1:
            raise ContentError("A WhatsApp message is one of template, text and media.", field="template")
        return valid

    def compile(self, content: Mapping[str, Any], texts: TextCompiler | None = None) -> CompiledWhatsApp:
        """Find the placeholders. Raises ``ContentError`` for a malformed one."""
        return CompiledWhatsApp(content, texts or compile_text)


_TELEPHONES = SmsChannel()


def _one_line(value: str) -> str:
    return " ".join(value.split())


def _bounded(text: str, limit: int, field: str) -> None:
    if len(text) > limit:
        raise ContentError(f"{field} has {len(text)} characters; at most {limit} are allowed.", field=field)
