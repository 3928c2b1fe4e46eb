"""What an email carries besides its words: copies, header fields of the caller's own, attachments."""

from __future__ import annotations

import mimetypes
import re
import unicodedata
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from notifications.providers.addresses import normalise_email

#: Recipients of one message, the copies included.
MAX_RECIPIENTS = 50
MAX_ATTACHMENTS = 10
#: Octets of all attachments of one message together, decoded, where the installation does not say otherwise.
MAX_ATTACHED = 10 * 1024 * 1024
MAX_FILENAME = 200
MAX_HEADERS = 30
#: RFC 5322 §2.1.1 bounds a line; ``References`` is folded over several.
MAX_HEADER = 2000

#: Header fields that a caller may set. All others are ours or the mail server's.
_ALLOWED = re.compile(
    r"x-[a-z0-9-]{1,60}|references|in-reply-to|precedence|importance|list-id|auto-submitted", re.IGNORECASE
)
_OURS = frozenset({"x-notification-id"})
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,62}")
_CONTENT_ID = re.compile(r"[A-Za-z0-9._%+@-]{1,128}")
_SPACE = re.compile(r"\s+")
_ANY_TYPE = "application/octet-stream"


def clean_filename(name: str) -> str:
    """Return the last part of a path, without control, format (such as text direction) and half characters.

    Raises ``ValueError`` if nothing is left.
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    kept = "".join(char for char in last if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    kept = _SPACE.sub(" ", kept).strip(" .\"'")
    if len(kept) > MAX_FILENAME:
        stem, dot, extension = kept.rpartition(".")
        kept = f"{stem[: MAX_FILENAME - len(extension) - 1]}.{extension}" if dot and len(extension) < 20 else kept
    if not kept:
        raise ValueError("The file name is empty.")
    return kept[:MAX_FILENAME]


def decoded_size(content: str) -> int:
    """Return how many octets a base64 text without white space stands for."""
    return len(content) // 4 * 3 - content[-2:].count("=")


def check_header_name(name: str) -> str:
    """Return the name of a header field that a caller may set. Raises ``ValueError``."""
    if not _ALLOWED.fullmatch(name) or name.lower() in _OURS:
        raise ValueError(
            f"The header {name[:70]!r} can not be set; allowed are X-…, References, In-Reply-To, Precedence, "
            "Importance, List-Id and Auto-Submitted."
        )
    return name


def check_header_value(value: str) -> str:
    """Return a value of one line. Raises ``ValueError``."""
    if any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in value):
        raise ValueError("A header must not contain a line break or another control character.")
    return value


def _base64(content: str) -> str:
    compact = _SPACE.sub("", content) if not content.isascii() or _SPACE.search(content) else content
    try:
        a2b_base64(compact, strict_mode=True)
    except (Base64Error, ValueError):
        raise ValueError("The content is not base64 (RFC 4648 §4).") from None
    return compact


def _media_type(value: str) -> str:
    value = value.strip().lower()
    if not _MEDIA_TYPE.fullmatch(value) or value.startswith(("multipart/", "message/")):
        raise ValueError("Enter a media type such as application/pdf (not multipart/… or message/…).")
    return value


def _content_id(value: str) -> str:
    value = value.strip().removeprefix("<").removesuffix(">")
    if not _CONTENT_ID.fullmatch(value):
        raise ValueError("A content id has 1 to 128 letters, digits and characters of ._%+@-.")
    return value


class EmailAttachment(BaseModel):
    """A file that travels with an email."""

    model_config = ConfigDict(extra="forbid", strict=True)

    filename: Annotated[str, Field(max_length=1000), AfterValidator(clean_filename)] = Field(
        description="Its name; a path is cut to its last part.", examples=["invoice.pdf"]
    )
    content: Annotated[str, Field(min_length=1), AfterValidator(_base64)] = Field(
        description="The file in base64.", examples=["JVBERi0xLjQK…"]
    )
    content_type: Annotated[str, Field(max_length=127), AfterValidator(_media_type)] = Field(
        _ANY_TYPE, description="Its media type; guessed from the name if it is left out.", examples=["application/pdf"]
    )
    content_id: Annotated[str, Field(max_length=130), AfterValidator(_content_id)] | None = Field(
        None, description="Makes it part of the HTML, which shows it as `cid:…`.", examples=["logo"]
    )

    @model_validator(mode="after")
    def _guess_type(self) -> EmailAttachment:
        if "content_type" not in self.model_fields_set:
            guessed = mimetypes.guess_type(self.filename)[0] or _ANY_TYPE
            self.content_type = _ANY_TYPE if guessed.startswith(("multipart/", "message/")) else guessed
        return self


def without_contents(attachments: Sequence[Any]) -> list[dict[str, Any]]:
    """Return attachments as they are shown: their ``size`` in octets in place of their content."""
    return [
        {**{name: value for name, value in each.items() if name != "content"}, "size": decoded_size(each["content"])}
        for each in attachments
    ]


def distinct(addresses: Sequence[str], *, but: Sequence[str] = ()) -> list[str]:
    """Return normalised addresses, each once whatever its case, without those of ``but``. Raises ``ValueError``."""
    seen = {address.casefold() for address in but}
    found = []
    for address in map(normalise_email, addresses):
        if address.casefold() not in seen:
            seen.add(address.casefold())
            found.append(address)
    return found
