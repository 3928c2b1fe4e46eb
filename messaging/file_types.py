"""What an uploaded file is, by its contents and never by its name; and pictures without what their cameras wrote."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import puremagic
from django.conf import settings
from PIL import Image, ImageOps, ImageSequence

from notification_service.lib.errors import InvalidInput

#: Types that may be sent, with the ending that their files get. Everything else that is text is ``text/plain``.
TYPES: Final[dict[str, str]] = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "application/pdf": ".pdf",
    "application/zip": ".zip",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/vnd.oasis.opendocument.text": ".odt",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "audio/wav": ".wav",
    "audio/mp4": ".m4a",
    "video/mp4": ".mp4",
    "video/webm": ".webm",
    "text/plain": ".txt",
}
#: What browsers may show; the rest is offered as a download.
SHOWN: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_SAME: Final = {
    "application/x-zip-compressed": "application/zip",
    "audio/mp3": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/x-m4a": "audio/mp4",
    "application/ogg": "audio/ogg",
}
_SLIDES: Final = "presentationml.presentation"
_FORMATS: Final = {"image/jpeg": "JPEG", "image/png": "PNG", "image/gif": "GIF", "image/webp": "WEBP"}
#: What belongs to how a picture looks, of all that Pillow keeps beside it.
_LOOKS: Final = ("transparency", "duration", "loop", "disposal", "background")


@dataclass(frozen=True, slots=True)
class Content:
    """A file as it is kept. Width and height are of pictures, in pixels."""

    data: bytes
    content_type: str
    width: int | None = None
    height: int | None = None


def examine(data: bytes) -> Content:
    """Return a file as it may be kept: pictures are encoded anew, without metadata. Raises ``InvalidInput``."""
    content_type = sniff(data)
    if content_type not in _FORMATS:
        return Content(data, content_type)
    try:
        return _encode_anew(data, content_type)
    except Image.DecompressionBombError as error:
        raise _too_large() from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise refused("This picture can not be read.") from error


def sniff(data: bytes) -> str:
    """Return the media type of a file by its contents. Raises ``InvalidInput`` for one that may not be sent."""
    if not data:
        raise refused("This file is empty.")
    if data.startswith(b"PK\x03\x04"):
        return _sniff_archive(data)
    try:
        found = [str(match.mime_type) for match in puremagic.magic_string(data)]
    except (puremagic.PureError, ValueError):
        found = []
    for mime in found:
        content_type = _SAME.get(mime, mime)
        if content_type in TYPES and content_type != "text/plain":
            return content_type
    if _is_text(data):
        return "text/plain"
    raise refused("Files of this type can not be sent.")


def _sniff_archive(data: bytes) -> str:
    """Tell office documents from other ZIP archives (ECMA-376 part 2, OpenDocument part 2 §3.3)."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            about = archive.getinfo("mimetype") if "mimetype" in names else None
            said = archive.read(about).decode("ascii", "replace") if about and about.file_size < 200 else ""
    except (zipfile.BadZipFile, NotImplementedError, OSError, RuntimeError, zlib.error) as error:
        raise refused("This archive can not be read.") from error
    if said in TYPES:
        return said
    if "[Content_Types].xml" not in names:
        return "application/zip"
    if any(name.lower().endswith("vbaproject.bin") for name in names):
        raise refused("Documents with macros can not be sent.")
    for folder, kind in (("word/", "wordprocessingml.document"), ("xl/", "spreadsheetml.sheet"), ("ppt/", _SLIDES)):
        if any(name.startswith(folder) for name in names):
            return f"application/vnd.openxmlformats-officedocument.{kind}"
    return "application/zip"


def refused(message: str) -> InvalidInput:
    """Return the error for the field ``file``."""
    return InvalidInput.at("file", message)


def _is_text(data: bytes) -> bool:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(letter >= " " or letter in "\t\r\n\f\x1b" for letter in text)


def _encode_anew(data: bytes, content_type: str) -> Content:
    limit = settings.CHAT_MAX_IMAGE_PIXELS
    with Image.open(io.BytesIO(data), formats=[_FORMATS[content_type]]) as picture:
        width, height = picture.size
        if width * height > limit:  # known from its first bytes: nothing is decoded yet
            raise _too_large()
        # A film that is larger in all than a picture may be becomes a still.
        frames = getattr(picture, "n_frames", 1) if content_type in ("image/gif", "image/webp") else 1
        is_film = frames > 1 and frames * width * height <= limit
        clean = list(_clean_frames(picture)) if is_film else [_clean(picture)]
    out = io.BytesIO()
    options: dict[str, Any] = {"quality": 90} if content_type in ("image/jpeg", "image/webp") else {}
    if len(clean) > 1:
        options |= {"save_all": True, "append_images": clean[1:], "loop": clean[0].info.get("loop", 0)}
        options["duration"] = [frame.info.get("duration", 100) for frame in clean]
    first = clean[0]
    first.save(out, _FORMATS[content_type], **options)
    return Content(out.getvalue(), content_type, *first.size)


def _too_large() -> InvalidInput:
    return refused(f"A picture has at most {settings.CHAT_MAX_IMAGE_PIXELS:,} pixels.")


def _clean_frames(picture: Image.Image) -> Iterator[Image.Image]:
    for frame in ImageSequence.Iterator(picture):
        yield _clean(frame)


def _clean(picture: Image.Image) -> Image.Image:
    """Return a decoded copy, turned as its camera was held, with nothing beside its pixels."""
    upright = ImageOps.exif_transpose(picture) or picture
    copy = upright.copy()
    if copy.mode == "CMYK":
        copy = copy.convert("RGB")
    copy.info = {name: upright.info[name] for name in _LOOKS if name in upright.info}
    return copy
