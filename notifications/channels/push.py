"""The push channel: a notification and data for one device, an app's (FCM) or a browser's (Web Push)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from notifications.channels.base import Channel, CompiledContent, ContentError
from notifications.channels.json_content import compile_tree, placeholders_of, render_tree, validated
from notifications.channels.placeholders import TextCompiler, compile_text
from notifications.providers.push_addresses import MAX_ADDRESS, is_subscription, parse_subscription

#: Octets of everything that travels to the device; FCM's and every Web Push service's limit.
#: https://firebase.google.com/docs/cloud-messaging/customize-messages/set-message-type, RFC 8030 §7.2
MAX_PAYLOAD = 4096
#: Octets of the record's id, which travels in the data.
_RECORD_ID = 64
#: Four weeks in seconds: the longest that FCM keeps a message.
MAX_TTL = 2_419_200
#: Keys of ``data`` that FCM keeps for itself.
_RESERVED = ("from", "message_type", "notification", "collapse_key")
_RESERVED_PREFIXES = ("google.", "gcm.")

_Short = Annotated[str, StringConstraints(min_length=1, max_length=200)]
_Url = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
_Value = Annotated[str, StringConstraints(max_length=MAX_PAYLOAD)]


class PushAction(BaseModel):
    """A button under the notification."""

    model_config = ConfigDict(extra="forbid", strict=True)

    action: _Short = Field(description="Name that the app is told when the button is pressed.")
    title: _Short = Field(description="What the button says.")
    icon: _Url | None = None


class PushContent(BaseModel):
    """What a push notification says. Texts may hold placeholders; a title, a body or data is needed."""

    model_config = ConfigDict(extra="forbid", strict=True)

    title: _Value | None = None
    body: _Value | None = None
    data: dict[_Short, _Value] | None = Field(None, description="Texts for the app, by key; not shown.")
    image: _Url | None = Field(None, description="Address of a picture that is shown with the notification.")
    actions: list[PushAction] | None = Field(
        None,
        max_length=4,
        description="Buttons. Browsers show them; an app finds them as JSON in its data under `actions`.",
    )
    android: dict[str, Any] | None = Field(None, description="FCM `AndroidConfig`; wins over the fields above.")
    apns: dict[str, Any] | None = Field(None, description="FCM `ApnsConfig`; wins over the fields above.")
    webpush: dict[str, Any] | None = Field(
        None, description="FCM `WebpushConfig` (`headers`, `notification`, `data`); wins over the fields above."
    )
    ttl: int | None = Field(None, ge=0, le=MAX_TTL, description="Seconds to wait for a device that is offline.")
    collapse_key: str | None = Field(
        None, min_length=1, max_length=64, description="A newer message with the same key replaces one not yet shown."
    )

    @field_validator("data")
    @classmethod
    def _not_reserved(cls, value: dict[str, str] | None) -> dict[str, str] | None:
        for key in value or ():
            if key in _RESERVED or key.startswith(_RESERVED_PREFIXES):
                raise ValueError(f"the key {key!r} is reserved by the push services")
        return value


class CompiledPush(CompiledContent):
    """A push notification whose placeholders are found."""

    def __init__(self, content: Mapping[str, Any], texts: TextCompiler) -> None:
        self._tree = compile_tree(content, "", texts)
        self.placeholders = placeholders_of(self._tree)

    def render(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Return the content's fields that are set; see ``CompiledContent.render``.

        Raises ``ContentError`` also if the payload has more than ``MAX_PAYLOAD`` octets with its values.
        """
        rendered: dict[str, Any] = render_tree(self._tree, context)
        size = payload_size(rendered)
        if size > MAX_PAYLOAD:
            raise ContentError(
                f"The notification has {size} octets; at most {MAX_PAYLOAD} are allowed.",
                field="data" if "data" in rendered else "body",
            )
        return rendered


def payload_size(content: Mapping[str, Any]) -> int:
    """Return the octets (UTF-8, compact JSON) of what a device is sent of a rendered content: the words and the data.

    Overrides count too, each for its own platform: the largest decides.
    """
    shared = {name: content[name] for name in ("title", "body", "data", "image", "actions") if name in content}
    overrides = [len(orjson.dumps(content[name])) for name in ("android", "apns", "webpush") if content.get(name)]
    return len(orjson.dumps(shared)) + max(overrides, default=0) + _RECORD_ID


class PushChannel(Channel):
    """Push notifications."""

    key: ClassVar[str] = "push"
    label: ClassVar[str] = "Push"
    providers: ClassVar[tuple[str, ...]] = ("fcm", "webpush")
    content: ClassVar[type[BaseModel]] = PushContent

    def normalise_address(self, address: str, *, region: str | None = None) -> str:
        """Return a device token as it is, or a Web Push subscription as compact JSON with its keys in one order.

        Raises ``ContentError``.
        """
        text = address.strip()
        if not 1 <= len(text) <= MAX_ADDRESS:
            raise ContentError(f"A device token has 1 to {MAX_ADDRESS} characters.", field="recipient")
        if is_subscription(text):
            try:
                return parse_subscription(text).as_json()
            except ValueError as error:
                raise ContentError(str(error), field="recipient") from None
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ContentError("A device token has no spaces, control or non-ASCII characters.", field="recipient")
        return text

    def validate(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that are set, checked. Raises ``ContentError`` naming the field."""
        valid = validated(PushContent, content)
        if not any(valid.get(name) for name in ("title", "body", "data")):
            raise ContentError("A push notification needs a title, a body or data.", field="title")
        for name in ("android", "apns", "webpush"):
            _json_bounded(valid.get(name), name)
        return valid

    def compile(self, content: Mapping[str, Any], texts: TextCompiler | None = None) -> CompiledPush:
        """Find the placeholders. Raises ``ContentError`` for a malformed one."""
        return CompiledPush(content, texts or compile_text)


def _json_bounded(value: Any, field: str) -> None:
    try:
        size = len(orjson.dumps(value))
    except TypeError:  # not JSON, too deep, or half a character
        raise ContentError(f"{field}: This is not a JSON object that can be sent.", field=field) from None
    if size > MAX_PAYLOAD:
        raise ContentError(f"{field}: At most {MAX_PAYLOAD} octets of JSON are allowed.", field=field)
