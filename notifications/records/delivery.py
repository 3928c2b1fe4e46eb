"""Delivery of one chunk: choose credentials, fill in the words, send concurrently, hand each outcome on at once.

No transaction is open while a provider is asked. A message that one provider can not send for reasons of its own is
offered to the tenant's next one, but only after a failure that leaves no doubt: whoever may have sent it is asked
again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from notifications.channels.base import ContentError
from notifications.channels.registry import channels
from notifications.credentials.choice import UsableCredential
from notifications.providers.base import NOT_BEGUN, FailureReason, OutgoingMessage, Provider, SendResult
from notifications.providers.registry import providers
from notifications.recipients.unsubscribe import unsubscribe_headers
from notifications.records.chunks import Chunk
from notifications.records.outcomes import Outcome, Try, decide, hold, refuse
from notifications.records.queue import Claimed
from notifications.records.words import fill_in
from notifications.templates.rendering import CompiledTemplate
from tenants.callers import Mode

Report = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class Doors:
    """What delivery asks of the world: each is awaited with no transaction open."""

    provider: Callable[[str], Provider[Any]]
    #: (tenant, credential, the provider's answer): stop using a credential that was refused.
    pause: Callable[[UUID, UsableCredential, str], Awaitable[None]]
    #: (tenant, credential, good answers, bad answers)
    report_health: Callable[[UUID, UUID, int, int], Awaitable[None]]
    #: (tenant, credential, wanted) → how many its rate limit lets through.
    let_through: Callable[[UUID, UsableCredential, int], Awaitable[int]]


@dataclass(slots=True)
class _Sending:
    claimed: Claimed
    message: OutgoingMessage
    tries: tuple[Try, ...] = ()


@dataclass(slots=True)
class _Answers:
    """What one round at one credential came to."""

    good: int = 0
    bad: int = 0
    refusal: SendResult | None = None
    settled: set[UUID] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Delivery:
    """Sends chunks of claimed records and reports every outcome exactly once."""

    doors: Doors
    report: Report
    chunk: Chunk

    async def deliver(self) -> None:
        """Send a chunk of one tenant's records; returns when each has its outcome."""
        groups: dict[tuple[UUID, str, Mode], list[Claimed]] = defaultdict(list)
        now = timezone.now()
        for claimed in self.chunk.sendable:
            if claimed.expires_at <= now:
                self.report(refuse(claimed, FailureReason.EXPIRED, "Its deadline passed before it was sent.", now=now))
            else:
                groups[claimed.tenant_id, claimed.channel, claimed.mode].append(claimed)
        await _side_by_side(self._deliver_group(*key, group) for key, group in groups.items())

    async def _deliver_group(self, tenant_id: UUID, channel: str, mode: Mode, group: Sequence[Claimed]) -> None:
        choice = self.chunk.choices[channel, mode]
        if choice.credentials:
            await self._send_all(tenant_id, self._rendered(channel, group), choice.credentials)
            return
        reason = FailureReason.PROVIDER_ERROR if choice.again_at else FailureReason.AUTH_ERROR
        result = SendResult.failure(reason, choice.because)
        for claimed in group:
            self._hold(claimed, result, due_at=choice.again_at)

    def _rendered(self, channel_key: str, group: Iterable[Claimed]) -> dict[UUID, _Sending]:
        channel, ready = channels.get(channel_key), {}
        for claimed in group:
            try:
                content = fill_in(claimed, channel, self._template_of(claimed))
            except ContentError as error:
                self.report(refuse(claimed, FailureReason.CONTENT_ERROR, error.message, now=timezone.now()))
                continue
            if headers := unsubscribe_headers(claimed):
                content["headers"] = {**content.get("headers", {}), **headers}
            for finish in self.chunk.finishes.get(claimed.id, ()):
                content = finish(claimed, content)
            message = OutgoingMessage(claimed.id, claimed.recipient, content, claimed.lane, claimed.at_most_once)
            ready[claimed.id] = _Sending(claimed, message)
        return ready

    def _template_of(self, claimed: Claimed) -> CompiledTemplate | None:
        if claimed.template_version_id is None:
            return None
        if (template := self.chunk.templates.get(claimed.template_version_id)) is None:
            raise ContentError("The version of the template that it was accepted with is gone.", field="template")
        return template

    async def _send_all(
        self, tenant_id: UUID, ready: dict[UUID, _Sending], credentials: Sequence[UsableCredential]
    ) -> None:
        """Send each message through the credentials whose providers take its kind of address."""
        kinds: dict[tuple[UsableCredential, ...], dict[UUID, _Sending]] = defaultdict(dict)
        for record_id, one in ready.items():
            takers = tuple(each for each in credentials if providers.get(each.provider).takes(one.claimed.recipient))
            kinds[takers][record_id] = one
        for one in kinds.pop((), {}).values():
            self._hold(one.claimed, _NO_TAKER, due_at=None)
        await _side_by_side(self._send(tenant_id, pending, takers) for takers, pending in kinds.items())

    async def _send(
        self, tenant_id: UUID, pending: dict[UUID, _Sending], credentials: Sequence[UsableCredential]
    ) -> None:
        for credential in credentials:
            is_last = credential is credentials[-1]
            allowed = await self.doors.let_through(tenant_id, credential, len(pending))
            sending = list(pending.values())[:allowed]
            if credential.probing and sending:
                answers = await self._round(tenant_id, pending, sending[:1], credential, is_last=is_last)
                sending = sending[1:] if answers.good else []
            if sending:
                await self._round(tenant_id, pending, sending, credential, is_last=is_last)
            if not pending:
                return
        self._hold_surplus(list(pending.values()), credentials[-1])

    async def _round(
        self,
        tenant_id: UUID,
        pending: dict[UUID, _Sending],
        sending: Sequence[_Sending],
        credential: UsableCredential,
        *,
        is_last: bool,
    ) -> _Answers:
        """Send through one credential; what it settles leaves ``pending``, the rest stays for the next."""
        answers, started = _Answers(), timezone.now()

        def on_result(message: OutgoingMessage, result: SendResult) -> None:
            one = pending.get(message.id)
            if one is None or message.id in answers.settled:  # told twice: the first answer counts
                return
            answers.settled.add(message.id)
            if result is NOT_BEGUN:
                del pending[message.id]
                self._hold(one.claimed, result, due_at=timezone.now(), tries=one.tries)
                return
            answers.good, answers.bad = answers.good + (not _is_bad(result)), answers.bad + _is_bad(result)
            self._settle(pending, one, result, credential, answers, started, is_last=is_last)

        await self.doors.provider(credential.provider).send_many(
            [one.message for one in sending], credential.payload, on_result
        )
        for one in sending:  # a provider that forgot one has broken its contract; nobody waits for it
            if one.claimed.id not in answers.settled:
                on_result(one.message, _FORGOTTEN)
        if credential.id is not None:
            await self.doors.report_health(tenant_id, credential.id, answers.good, answers.bad)
            if answers.refusal is not None:
                words = f"{answers.refusal.code} {answers.refusal.response}".strip()
                await self.doors.pause(tenant_id, credential, words)
        return answers

    def _settle(
        self,
        pending: dict[UUID, _Sending],
        one: _Sending,
        result: SendResult,
        credential: UsableCredential,
        answers: _Answers,
        started: datetime,
        *,
        is_last: bool,
    ) -> None:
        now, known_refusal = timezone.now(), answers.refusal is not None
        this = Try(credential.provider, credential.id, result, started, now)
        if result.reason == FailureReason.AUTH_ERROR:
            answers.refusal = answers.refusal or result
        if not is_last and _leaves_no_doubt(result):
            one.tries = (*one.tries, this)
            return
        del pending[one.claimed.id]
        if result.reason == FailureReason.AUTH_ERROR and (known_refusal or _may_recover(one.tries)):
            # The credential is known to be refused, or another will work again: it waits for the better one.
            self.report(hold(one.claimed, response=result.response, now=now, result=result, tries=(*one.tries, this)))
            return
        self.report(
            decide(
                one.claimed,
                result,
                provider=credential.provider,
                credential_id=credential.id,
                started_at=started,
                now=now,
                earlier=one.tries,
                segments=one.message.content.get("segments"),
                encoding=one.message.content.get("encoding", ""),
            )
        )

    def _hold_surplus(self, surplus: Sequence[_Sending], credential: UsableCredential) -> None:
        """Put back what no credential took now, spread over the time that its rate limit needs for it."""
        now, rate = timezone.now(), credential.rate_limit or len(surplus)
        if credential.rate_limit:
            result = SendResult.failure(FailureReason.RATE_LIMITED, "Waits for its turn: the credential's rate limit.")
        else:
            result = SendResult.failure(FailureReason.PROVIDER_ERROR, "Waits: its provider keeps failing.")
        for place, one in enumerate(surplus, start=1):
            due_at = now + timedelta(seconds=max(place / rate, 0.2))
            self._hold(one.claimed, result, due_at=due_at, tries=one.tries)

    def _hold(
        self, claimed: Claimed, result: SendResult, *, due_at: datetime | None, tries: tuple[Try, ...] = ()
    ) -> None:
        now = timezone.now()
        self.report(hold(claimed, response=result.response, now=now, result=result, due_at=due_at, tries=tries))


_NO_TAKER = SendResult.failure(
    FailureReason.AUTH_ERROR, "No credential takes this kind of address: waiting for one that does."
)
_FORGOTTEN = SendResult.failure(FailureReason.UNKNOWN_ERROR, "The provider gave no result.", ambiguous=True)


async def _side_by_side(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all at the same time, each to its end; then raise what the first of those that failed raised."""
    for result in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


def _is_bad(result: SendResult) -> bool:
    """Whether the provider itself does not work, as opposed to not liking one message or one mailbox for now."""
    if result.reason == FailureReason.NETWORK_ERROR:
        return True
    return not result.accepted and result.retryable and (result.code[:1] in ("", "5") or result.code[:3] == "421")


def _leaves_no_doubt(result: SendResult) -> bool:
    """Whether another provider may be asked: this one has not sent it, for reasons that are its own."""
    own_fault = result.retryable or result.reason in (FailureReason.AUTH_ERROR, FailureReason.NETWORK_ERROR)
    return not result.accepted and not result.ambiguous and own_fault


def _may_recover(tries: Sequence[Try]) -> bool:
    """Whether one of the credentials that were tried may work when it is tried again."""
    return any(each.result.retryable for each in tries)
