"""What a drain takes at once, with all that sending it takes: claimed, looked up and chosen for in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from notifications.credentials.choice import Choice, choose
from notifications.providers.base import FailureReason, SendResult
from notifications.recipients.suppressions import Addressee, find_suppressed
from notifications.records import hooks, queue
from notifications.records.hooks import Finish
from notifications.records.outcomes import Outcome, write_outcomes
from notifications.records.queue import Claimed
from notifications.records.states import Status
from notifications.templates.rendering import CompiledTemplate, compiled_versions
from tenants.callers import Mode


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a drain took at once: how many records in all, those that may be sent, and all that sending them takes.

    ``choices`` are what to send with, by channel and mode. ``templates`` are the versions that the records name,
    compiled; one that can not be is not among them. ``finishes`` is what else is done to single messages.
    """

    taken: int
    sendable: Sequence[Claimed]
    choices: Mapping[tuple[str, Mode], Choice]
    templates: Mapping[UUID, CompiledTemplate]
    finishes: Mapping[UUID, Sequence[Finish]]


def claim_chunk(tenant_id: UUID, lane: str, *, token: UUID, limit: int) -> Chunk:
    """Claim what is due, and end at once what has been suppressed since it was accepted. Needs the tenant's scope.

    ``taken`` below ``limit`` says that nothing more is due.
    """
    claimed = queue.claim(tenant_id, lane, token=token, limit=limit)
    addressees = {each.id: Addressee(each.channel, each.recipient, each.lane, each.category) for each in claimed}
    held = find_suppressed(addressees.values())
    outcomes = [
        Outcome(each, Status.SUPPRESSED, SendResult.failure(FailureReason.SUPPRESSED, str(held[addressee])))
        for each in claimed
        if (addressee := addressees[each.id]) in held
    ]
    if outcomes:
        hooks.announce(write_outcomes(tenant_id, outcomes))
    sendable = [each for each in claimed if addressees[each.id] not in held] if held else claimed
    # All in the transaction of the claim: each one more would cost a critical message two trips to the database.
    choices = {
        (channel, mode): choose(tenant_id, channel, mode) for channel, mode in {(c.channel, c.mode) for c in sendable}
    }
    versions = {each.template_version_id for each in sendable if each.template_version_id}
    templates = compiled_versions(versions)
    return Chunk(len(claimed), sendable, choices, templates, hooks.finishes_of(sendable) if sendable else {})
