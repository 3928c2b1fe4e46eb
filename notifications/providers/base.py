"""The contract of a provider: a credential schema in, messages in, one result per message out.

A provider is one file in this package. It declares ``key``, ``label``, ``channel`` and ``schema``, and sends.
It never touches the database, never retries and never sleeps: the engine above decides what happens after a result.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr, ValidationError

from notification_service.lib.net import PUBLIC_ONLY, NetworkPolicy


class FailureReason(StrEnum):
    """Why a message was not sent. Each reason knows whether trying again can help."""

    AUTH_ERROR = "auth_error"
    NETWORK_ERROR = "network_error"
    PROVIDER_ERROR = "provider_error"
    CONTENT_ERROR = "content_error"
    RATE_LIMITED = "rate_limited"
    SUPPRESSED = "suppressed"
    EXPIRED = "expired"
    UNKNOWN_ERROR = "unknown_error"

    @property
    def retryable(self) -> bool:
        """Whether a failure for this reason is worth a retry when the provider does not say otherwise."""
        return self in _RETRYABLE


_RETRYABLE = frozenset(
    {
        FailureReason.NETWORK_ERROR,
        FailureReason.PROVIDER_ERROR,
        FailureReason.RATE_LIMITED,
        FailureReason.UNKNOWN_ERROR,
    }
)


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """One message, rendered and addressed: everything that a provider needs and nothing else.

    ``id`` is the record's id: the provider's idempotency key or reference where it takes one, and the stable
    part of an email's Message-ID. ``content`` is what ``Channel.render`` returned. ``at_most_once`` says that a message
    must rather be lost than sent twice: leave no doubt about it where that can be avoided.
    """

    id: UUID
    recipient: str
    content: Mapping[str, Any]
    lane: str = "normal"
    at_most_once: bool = False


@dataclass(frozen=True, slots=True)
class SendResult:
    """What one try at a provider came to, in the provider's own words plus our reason.

    ``ambiguous`` marks a failure after which the provider may nevertheless have taken the message
    (the connection broke between the last byte and the answer): only then can a retry deliver twice.
    ``retry_after`` is in seconds, as the provider asked for. ``dead_address`` says that this address will never take a
    message again (an uninstalled app, an expired subscription): the engine deactivates the device that has it.
    """

    accepted: bool
    code: str = ""
    response: str = ""
    provider_message_id: str = ""
    reason: FailureReason | None = None
    retryable: bool = False
    retry_after: float | None = None
    ambiguous: bool = False
    dead_address: bool = False

    @classmethod
    def success(cls, *, code: str = "", response: str = "", provider_message_id: str = "") -> SendResult:
        """The provider took the message."""
        return cls(True, code, response, provider_message_id)

    @classmethod
    def failure(
        cls,
        reason: FailureReason,
        response: str,
        *,
        code: str = "",
        retryable: bool | None = None,
        retry_after: float | None = None,
        ambiguous: bool = False,
        dead_address: bool = False,
    ) -> SendResult:
        """The provider did not take the message; ``retryable`` defaults to what the reason says."""
        return cls(
            False,
            code,
            response,
            reason=reason,
            retryable=reason.retryable if retryable is None else retryable,
            retry_after=retry_after,
            ambiguous=ambiguous,
            dead_address=dead_address,
        )


#: A secret, kept to the letter (other texts lose the white space around them).
Secret = Annotated[SecretStr, BeforeValidator(lambda value: SecretStr(value) if isinstance(value, str) else value)]


class CredentialSchema(BaseModel):
    """What a tenant enters to use a provider. Secret fields are ``Secret``: masked wherever they are shown."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, hide_input_in_errors=True)

    @classmethod
    def secret_fields(cls) -> frozenset[str]:
        """Names of the fields that never leave the service in clear."""
        return frozenset(name for name, info in cls.model_fields.items() if "SecretStr" in str(info.annotation))

    #: Fields that say where secrets are sent.
    secret_destinations: ClassVar[frozenset[str]] = frozenset({"base_url", "token_uri", "token_url"})

    def sends_elsewhere(self, before: Self) -> bool:
        """Whether the secrets go to another place than with ``before``, or less guarded on their way."""
        return any(getattr(self, name, None) != getattr(before, name, None) for name in self.secret_destinations)

    def reveal(self) -> dict[str, Any]:
        """Return the payload with its secrets in clear: only to encrypt it or to talk to the provider."""
        payload = self.model_dump(mode="python")
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in payload.items()
        }


def field_errors(error: ValidationError) -> dict[str, list[str]]:
    """Return a schema's errors as sentences by field, without the input that caused them (it may be a secret)."""
    found: dict[str, list[str]] = {}
    for item in error.errors(include_input=False, include_url=False, include_context=False):
        name = ".".join(str(part) for part in item["loc"]) or "credentials"
        found.setdefault(name, []).append(item["msg"].removeprefix("Value error, "))
    return found


@dataclass(frozen=True, slots=True)
class CheckStep:
    """One step of a credential check: what was tried, whether it worked, and the other side's answer."""

    name: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came of really connecting with a credential. ``duration_ms`` is wall time in milliseconds."""

    ok: bool
    detail: str
    reason: FailureReason | None = None
    steps: tuple[CheckStep, ...] = field(default=())
    duration_ms: int = 0


#: What became of a message after the provider took it.
ReceiptState = Literal["delivered", "opened", "clicked", "bounced", "complained", "undeliverable", "failed"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a provider reports about a message that it took.

    ``record_id`` is there if the provider gives our reference back: then the receipt finds its record even if it
    arrives before ``provider_message_id`` was stored. ``suppress`` asks that ``address`` gets no more messages.
    ``price`` is a decimal number as the provider wrote it, in ``currency`` (ISO 4217).
    """

    provider_message_id: str
    state: ReceiptState
    occurred_at: datetime
    record_id: UUID | None = None
    reason: FailureReason | None = None
    code: str = ""
    detail: str = ""
    address: str = ""
    suppress: bool = False
    price: str = ""
    currency: str = ""


@dataclass(frozen=True, slots=True)
class ReceiptRequest:
    """A provider's call to us, as it came in: the whole public URL, the headers and the raw body."""

    url: str
    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str) -> str:
        """Return a header whatever its case, or an empty text."""
        wanted = name.lower()
        return next((value for key, value in self.headers.items() if key.lower() == wanted), "")

    def form(self) -> list[tuple[str, str]]:
        """Return the fields of a form body in order, empty ones too. Raises ``ValueError`` if it is not UTF-8."""
        return parse_qsl(self.body.decode(), keep_blank_values=True, errors="strict", max_num_fields=200)


#: What is told of a message that was not begun before ``Provider.stop``: nobody was asked, it can be sent at once.
NOT_BEGUN = SendResult(False, response="The worker that had it was stopped before it was sent.", retryable=True)

#: Called exactly once per message, as soon as its result is known, from the event loop that sends.
OnResult = Callable[[OutgoingMessage, SendResult], None]

C = TypeVar("C", bound=CredentialSchema)


class Provider(ABC, Generic[C]):
    """Base class of all providers. An instance belongs to one event loop and keeps its connections there.

    A simple provider implements ``send``; one that can do better with many messages at once (pipelining,
    batch endpoints) overrides ``send_many``, and looks at ``stopped`` before it begins a message.
    """

    key: ClassVar[str]
    label: ClassVar[str]
    channel: ClassVar[str]
    schema: ClassVar[type[CredentialSchema]]
    #: Whether a tenant must store a credential before this provider can be used; if not, ``schema`` takes ``{}``.
    needs_credential: ClassVar[bool] = True
    #: How many messages of one chunk are in flight at the same time.
    concurrency: ClassVar[int] = 32
    #: Whether this instance may begin no further message.
    stopped: bool = False

    def __init__(self, *, network_policy: NetworkPolicy = PUBLIC_ONLY) -> None:
        #: Which addresses a host that a tenant supplied may have.
        self.network_policy = network_policy

    @classmethod
    def takes(cls, recipient: str) -> bool:
        """Whether a normalised address is of the kind that this provider sends to, where a channel has several."""
        return True

    @abstractmethod
    async def send(self, message: OutgoingMessage, credential: C) -> SendResult:
        """Send one message. Never raises for what the provider or the network does: that is a result."""

    async def send_many(self, messages: Sequence[OutgoingMessage], credential: C, on_result: OnResult) -> None:
        """Send all messages concurrently and call ``on_result`` once for each, as soon as it is known.

        One slow message holds back nobody else's result.
        """
        queue = iter(messages)

        async def lane() -> None:
            for message in queue:
                on_result(message, NOT_BEGUN if self.stopped else await self._send_safely(message, credential))

        await asyncio.gather(*(lane() for _ in range(min(self.concurrency, len(messages)))))

    async def _send_safely(self, message: OutgoingMessage, credential: C) -> SendResult:
        try:
            return await self.send(message, credential)
        except Exception as error:  # a bug in one provider must not lose the other results of its chunk
            # Nobody knows how far it came.
            words = f"{type(error).__name__}: {error}"[:500]
            return SendResult.failure(FailureReason.UNKNOWN_ERROR, words, ambiguous=True)

    def stop(self) -> None:
        """Begin no further message: ``send_many`` ends those that it has begun; the others get ``NOT_BEGUN``."""
        self.stopped = True

    async def check(self, credential: C) -> CheckResult:
        """Really connect with the credential, send nothing, and say what happened."""
        started = time.monotonic()
        return CheckResult(
            True,
            f"{self.label} needs no connection; the payload is valid.",
            duration_ms=round((time.monotonic() - started) * 1000),
        )

    def verify_receipt(self, request: ReceiptRequest, credential: C) -> bool:
        """Whether the call is signed with this credential; never raises. Providers that report nothing say no."""
        return False

    def parse_receipt(self, request: ReceiptRequest) -> list[Receipt]:
        """Return what a verified call reports; progress that is no outcome gives no receipt.

        Raises ``ValueError`` for a body that is not the provider's, and ``NotImplementedError`` if it reports nothing.
        """
        raise NotImplementedError(f"{self.label} sends no receipts")

    async def aclose(self) -> None:
        """Close every connection that this provider keeps open."""
