"""What a rule says, checked: the shape that versions keep as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from notification_service.lib.errors import InvalidInput
from notifications.channels.base import ContentError
from notifications.channels.placeholders import compile_text
from notifications.channels.registry import channels as known_channels
from notifications.events.rules.checks import check_condition
from notifications.recipients.people import check_where

#: Longest wait of a delay, a digest or an escalation, in seconds.
_MAX_WAIT: Final = 366 * 86_400
_ANY_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)
_Wait = Annotated[int, Field(ge=1, le=_MAX_WAIT)]
_Key = Annotated[str, StringConstraints(max_length=500)]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Targets(_Part):
    """Who is told. Nothing at all means the event's own person."""

    person: bool = False
    roles: list[_Name] = Field(default_factory=list, max_length=50)
    users: list[_Name] = Field(default_factory=list, max_length=500)
    #: Conditions on people (``locale``, ``metadata.city`` …), all of which must fit.
    where: dict[str, Any] | None = None
    #: By channel.
    addresses: dict[str, list[Annotated[str, StringConstraints(min_length=1, max_length=2048)]]] = Field(
        default_factory=dict
    )

    @property
    def are_looked_up(self) -> bool:
        """Whether there are people who have to be found, page by page."""
        return bool(self.roles or self.users or self.where is not None)


class ThrottlePolicy(_Part):
    """At most ``limit`` times within ``seconds``, under each key."""

    key: _Key = ""
    limit: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    seconds: _Wait = 3600


class DigestPolicy(_Part):
    """One message of all events within ``seconds``, under each key."""

    key: _Key = ""
    seconds: _Wait = 3600


class EscalationLevel(_Part):
    """What is done ``after_seconds`` if what went before was not read (or not delivered)."""

    after_seconds: _Wait
    unless: Literal["read", "delivered"] = "read"
    channels: list[str] = Field(min_length=1, max_length=16)
    templates: dict[str, dict[str, Any] | str] = Field(default_factory=dict)
    #: Other people than those who did not read it.
    targets: Targets | None = None


class Definition(_Part):
    """A rule's version."""

    event_types: list[Annotated[str, StringConstraints(min_length=1, max_length=100)]] = Field(
        default_factory=list, max_length=100
    )
    condition: str = ""
    targets: Targets = Targets()
    channels: list[str] = Field(default_factory=lambda: ["inapp"], min_length=1, max_length=16)
    templates: dict[str, dict[str, Any] | str] = Field(default_factory=dict)
    lane: Literal["critical", "normal", "bulk"] = "normal"
    sound: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{0,100}$")] = ""
    delay_seconds: Annotated[int, Field(ge=0, le=_MAX_WAIT)] = 0
    throttle: ThrottlePolicy | None = None
    digest: DigestPolicy | None = None
    escalation: list[EscalationLevel] = Field(default_factory=list, max_length=10)
    stop_processing: bool = False
    #: Words with placeholders: the key under which what waits can be cancelled, and the key that a match cancels.
    cancel_key: _Key = ""
    cancels: _Key = ""
    #: Five fields of cron, in the tenant's time zone: the rule speaks then, and no event is needed.
    schedule: Annotated[str, StringConstraints(max_length=100)] = ""

    @property
    def waits(self) -> bool:
        """Whether it can not be carried out on the spot."""
        return bool(self.delay_seconds or self.throttle or self.digest or self.escalation or self.targets.are_looked_up)


def read_definition(data: dict[str, Any]) -> Definition:
    """Return a definition, checked. Raises ``InvalidInput`` naming the fields."""
    try:
        definition = Definition.model_validate(data)
    except ValidationError as error:
        found: dict[str, list[str]] = {}
        for each in error.errors(include_url=False, include_input=False):
            found.setdefault(".".join(map(str, each["loc"])), []).append(each["msg"])
        where, messages = next(iter(found.items()))
        raise InvalidInput(f"{where}: {messages[0]}", errors=found) from None
    check_condition(definition.condition)
    _check_keys(definition)
    _check_words("", definition.channels, definition.templates)
    for number, level in enumerate(definition.escalation):
        _check_words(f"escalation.{number}.", level.channels, level.templates)
        if level.targets:
            _check_targets(f"escalation.{number}.targets", level.targets)
    _check_targets("targets", definition.targets)
    if definition.schedule:
        try:
            CronSim(definition.schedule, _ANY_DAY)
        except CronSimError as error:
            _refuse("schedule", f"Is no cron expression: {error}.")
    return definition


def _check_keys(definition: Definition) -> None:
    keys = {"cancelKey": definition.cancel_key, "cancels": definition.cancels}
    if definition.digest:
        keys["digest.key"] = definition.digest.key
    if definition.throttle:
        keys["throttle.key"] = definition.throttle.key
    for name, text in keys.items():
        try:
            compile_text(text, name)
        except ContentError as error:
            _refuse(name, error.message)


def _check_targets(where: str, targets: Targets) -> None:
    check_where(targets.where or {}, f"{where}.where")
    for key in targets.addresses:
        _check_channel(f"{where}.addresses.{key}", key)


def _check_words(prefix: str, keys: list[str], templates: dict[str, dict[str, Any] | str]) -> None:
    for key in [*keys, *templates]:
        _check_channel(f"{prefix}channels", key)
    for key, words in templates.items():
        if isinstance(words, dict):
            try:
                known_channels.get(key).prepare(words)
            except ContentError as error:
                _refuse(f"{prefix}templates.{key}.{error.field}", error.message)
            for name, text in words.items():
                if isinstance(text, str) and (at := text.find("{%")) >= 0:
                    message = f"Has a tag at character {at + 1}: words of a rule have {{{{placeholders}}}} alone. "
                    _refuse(f"{prefix}templates.{key}.{name}", message + "Make a template, and name its key here.")


def _check_channel(where: str, key: str) -> None:
    if key not in known_channels:
        _refuse(where, f"Unknown channel {key!r}; known: {', '.join(known_channels.keys())}.")


def _refuse(name: str, message: str) -> None:
    raise InvalidInput.at(name, message)
