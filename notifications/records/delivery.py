"""Delivery of one chunk: choose the credential, fill in the words, send concurrently, hand each outcome on at once.

No transaction is open while a provider is asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from notifications.channels.base import ContentError
from notifications.channels.registry import channels
from notifications.credentials.services import UsableCredential
from notifications.providers.base import FailureReason, OutgoingMessage, Provider, SendResult
from notifications.records.outcomes import Outcome, decide, hold, refuse
from notifications.records.queue import Claimed
from tenants.callers import Mode

#: Looks up the credential for (tenant, channel, mode): None if none is usable.
ChooseCredential = Callable[[UUID, str, Mode], Awaitable[UsableCredential | None]]
#: Stops the use of a credential that its provider refused: (tenant, credential, the provider's answer).
PauseCredential = Callable[[UUID, UUID, str], Awaitable[None]]
Report = Callable[[Outcome], None]
Providers = Callable[[str], Provider[Any]]


@dataclass(slots=True)
class Delivery:
    """Sends chunks of claimed records and reports every outcome exactly once."""

    providers: Providers
    choose_credential: ChooseCredential
    pause_credential: PauseCredential
    report: Report

    async def deliver(self, chunk: Sequence[Claimed]) -> None:
        """Send a chunk of one tenant's records; returns when each has its outcome."""
        groups: dict[tuple[UUID, str, Mode], list[Claimed]] = defaultdict(list)
        now = timezone.now()
        for claimed in chunk:
            if claimed.expires_at <= now:
                self.report(refuse(claimed, FailureReason.EXPIRED, "Its deadline passed before it was sent.", now=now))
            else:
                groups[claimed.tenant_id, claimed.channel, claimed.mode].append(claimed)
        for (tenant_id, channel, mode), group in groups.items():
            credential = await self.choose_credential(tenant_id, channel, mode)
            if credential is None:
                for claimed in group:
                    self.report(hold(claimed, response=f"No usable {channel} credential: waiting for one.", now=now))
            else:
                await self._send(group, credential)

    async def _send(self, group: Sequence[Claimed], credential: UsableCredential) -> None:
        channel = channels.get(group[0].channel)
        by_id: dict[UUID, Claimed] = {}
        messages = []
        for claimed in group:
            try:
                content = channel.prepare(claimed.content)[1].render(claimed.context)
            except ContentError as error:
                self.report(refuse(claimed, FailureReason.CONTENT_ERROR, error.message, now=timezone.now()))
                continue
            by_id[claimed.id] = claimed
            messages.append(OutgoingMessage(claimed.id, claimed.recipient, content, claimed.lane))
        refusal: SendResult | None = None
        started = timezone.now()

        def on_result(message: OutgoingMessage, result: SendResult) -> None:
            nonlocal refusal
            claimed = by_id.pop(message.id, None)
            if claimed is None:  # told twice: the first answer counts
                return
            if result.reason == FailureReason.AUTH_ERROR and refusal is not None:
                # The credential is known to be refused: what else was in flight waits for a better one.
                self.report(hold(claimed, response=result.response, now=timezone.now(), result=result))
                return
            if result.reason == FailureReason.AUTH_ERROR:
                refusal = result
            self.report(self._decide(claimed, result, credential, started))

        await self.providers(credential.provider).send_many(messages, credential.payload, on_result)
        for claimed in list(by_id.values()):  # a provider that forgot one has broken its contract; nobody waits for it
            result = SendResult.failure(FailureReason.UNKNOWN_ERROR, "The provider gave no result.", ambiguous=True)
            self.report(self._decide(claimed, result, credential, started))
        if refusal is not None and credential.id is not None:
            await self.pause_credential(group[0].tenant_id, credential.id, f"{refusal.code} {refusal.response}".strip())

    @staticmethod
    def _decide(claimed: Claimed, result: SendResult, credential: UsableCredential, started: datetime) -> Outcome:
        return decide(
            claimed,
            result,
            provider=credential.provider,
            credential_id=credential.id,
            started_at=started,
            now=timezone.now(),
        )
