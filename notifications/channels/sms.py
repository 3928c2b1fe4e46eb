"""The SMS channel: one text with placeholders, and how many segments it will be billed as."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal

import phonenumbers
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from notifications.channels.base import Channel, CompiledContent, ContentError
from notifications.channels.json_content import validated
from notifications.channels.placeholders import TextCompiler, compile_text

#: Characters of a text, after the values are filled in: the most that carriers join together again.
MAX_BODY = 1600
#: A template may be longer than what it renders to.
MAX_TEMPLATE = 10_000
MAX_MEDIA = 10
MAX_URL = 2048

#: The basic character set of GSM 03.38 (3GPP TS 23.038 §6.2.1), the escape left out.
GSM_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
#: Its extension table (§6.2.1.1): each takes two septets, an escape and itself.
GSM_EXTENSION = "\f^{}\\[~]|€"
_GSM_TEXT = re.compile(f"[{re.escape(GSM_BASIC + GSM_EXTENSION)}]*")
_EXTENDED = re.compile(f"[{re.escape(GSM_EXTENSION)}]")

#: Units of a message that stands alone, and of each part of a longer one, which carries a header (§9.2.3.24.1).
_LIMITS = {"GSM-7": (160, 153), "UCS-2": (70, 67)}

#: Digits in any script, and the punctuation that people write between them.
_NUMBER = re.compile(r"(?:tel:)?[+＋]?[\d\s().\-‐‑‒–/]{2,40}")
_UNSENDABLE = re.compile(r"[\x00\ud800-\udfff]")

Encoding = Literal["GSM-7", "UCS-2"]


class SmsContent(BaseModel):
    """What a text message says. Every field may hold placeholders; values are filled in as they are."""

    model_config = ConfigDict(extra="forbid", strict=True)

    body: str = Field(min_length=1, max_length=MAX_TEMPLATE, description=f"At most {MAX_BODY} characters when sent.")
    media_urls: list[Annotated[str, StringConstraints(min_length=1, max_length=MAX_URL)]] | None = Field(
        None, max_length=MAX_MEDIA, description="Public addresses of pictures and other media, sent as MMS."
    )


def measure(text: str) -> tuple[Encoding, int]:
    """Return (encoding, number of segments) of a text, as a carrier counts them.

    GSM-7 if every character is in GSM 03.38, else UCS-2. Nothing that takes two units is split between segments:
    neither an escaped character nor a surrogate pair.
    """
    if _GSM_TEXT.fullmatch(text):
        return "GSM-7", _segments(text, _EXTENDED, "GSM-7")
    return "UCS-2", _segments(text, _ASTRAL, "UCS-2")


_ASTRAL = re.compile(r"[\U00010000-\U0010ffff]")


def _segments(text: str, double: re.Pattern[str], encoding: Encoding) -> int:
    alone, part = _LIMITS[encoding]
    doubles = len(double.findall(text))
    if len(text) + doubles <= alone:
        return 1
    if not doubles:
        return -(-len(text) // part)
    segments, room = 1, part
    for char in text:
        units = 2 if double.match(char) else 1
        if units > room:
            segments, room = segments + 1, part
        room -= units
    return segments


class CompiledSms(CompiledContent):
    """A text message whose placeholders are found."""

    def __init__(self, content: Mapping[str, Any], texts: TextCompiler) -> None:
        self._body = texts(content["body"], "body")
        self._media = [texts(url, "media_urls") for url in content.get("media_urls") or ()]
        self.placeholders = frozenset(name for text in (self._body, *self._media) for name in text.placeholders)

    def render(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``{"body", "encoding", "segments"}``, and ``"media_urls"`` if there are any."""
        body = self._body.render(context)
        if not body.strip():
            raise ContentError("The body is empty.", field="body")
        if len(body) > MAX_BODY:
            raise ContentError(f"The body has {len(body)} characters; at most {MAX_BODY} are allowed.", field="body")
        if _UNSENDABLE.search(body):
            raise ContentError("The body has a character that can not be sent.", field="body")
        encoding, segments = measure(body)
        rendered: dict[str, Any] = {"body": body, "encoding": encoding, "segments": segments}
        if self._media:
            rendered["media_urls"] = [_media_url(url.render(context)) for url in self._media]
        return rendered


class SmsChannel(Channel):
    """Text messages to telephones."""

    key: ClassVar[str] = "sms"
    label: ClassVar[str] = "SMS"
    providers: ClassVar[tuple[str, ...]] = ("twilio",)
    content: ClassVar[type[BaseModel]] = SmsContent

    def normalise_address(self, address: str, *, region: str | None = None) -> str:
        """Return a telephone number as E.164 (``+15551234567``).

        A number without a country code needs ``region`` (ISO 3166-1, two letters). The number must be possible, not
        assigned: numbers that are set aside for tests are numbers. Raises ``ContentError`` for ``recipient``.
        """
        return _e164(address.strip(), region.upper() if region else None)

    def validate(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that are set, checked. Raises ``ContentError`` naming the field."""
        valid = validated(SmsContent, content)
        if not valid["body"].strip():
            raise ContentError("The body is empty.", field="body")
        return valid

    def compile(self, content: Mapping[str, Any], texts: TextCompiler | None = None) -> CompiledSms:
        """Find the placeholders. Raises ``ContentError`` for a malformed one."""
        return CompiledSms(content, texts or compile_text)


@lru_cache(maxsize=8192)
def _e164(number: str, region: str | None) -> str:
    if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
        raise ContentError(f"{region[:8]!r} is not a region that has telephone numbers.", field="recipient")
    if not _NUMBER.fullmatch(number):
        raise ContentError("This is not a telephone number.", field="recipient")
    try:
        found = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException as error:
        if region is None and error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE:
            raise ContentError(
                "Write the telephone number with its country code, such as +15551234567.", field="recipient"
            ) from None
        raise ContentError("This is not a telephone number.", field="recipient") from None
    if found.extension or not phonenumbers.is_possible_number(found):
        raise ContentError("This is not a telephone number: its length is wrong.", field="recipient")
    return phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164)


def _media_url(text: str) -> str:
    url = text.strip()
    if not re.fullmatch(r"https?://[^\s/?#@]+(?:[/?#]\S*)?", url) or not url.isprintable() or len(url) > MAX_URL:
        raise ContentError("media_urls: every address must be one of http or https.", field="media_urls")
    return url
