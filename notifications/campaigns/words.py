"""What a campaign says to whom: its content or its variants, compiled once, and who gets which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, Protocol
from uuid import UUID

from notification_service.lib.errors import ContentInvalid, InvalidInput
from notifications.campaigns.models import BUCKETS, Campaign
from notifications.channels.base import ContentError
from notifications.channels.registry import channels

#: What we fill in ourselves.
UNSUBSCRIBE: Final = "unsubscribe_url"


class Renders(Protocol):
    """What is compiled, wherever it comes from."""

    @property
    def placeholders(self) -> frozenset[str]: ...

    def render(self, context: Mapping[str, Any]) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one variant (``""``: of the campaign)."""

    variant: str
    content: Mapping[str, Any]
    template_version_id: UUID | None
    compiled: Renders

    @property
    def wants_unsubscribe_url(self) -> bool:
        """Whether the text has a place for the way out."""
        return UNSUBSCRIBE in self.compiled.placeholders


def words_of(campaign: Campaign) -> dict[str, Words]:
    """Return a campaign's words by variant. Raises ``ContentInvalid`` naming the field."""
    if not campaign.variants:
        return {"": compiled(campaign.channel, "", campaign.content, campaign.template_version_id, where="content")}
    return {
        each["name"]: compiled(
            campaign.channel,
            each["name"],
            each.get("content") or {},
            UUID(each["template_version_id"]) if each.get("template_version_id") else None,
            where=f"variants.{index}.content",
        )
        for index, each in enumerate(campaign.variants)
    }


def compiled(
    channel: str, variant: str, content: Mapping[str, Any], template_version_id: UUID | None, *, where: str
) -> Words:
    """Compile words. Raises ``ContentInvalid`` naming the field below ``where``."""
    try:
        valid, found = channels.get(channel).prepare(content)
    except ContentError as error:
        raise ContentInvalid(error.message, errors={f"{where}.{error.field}": [error.message]}) from None
    return Words(variant, valid, template_version_id, found)


def problem_of(words: Words, context: Mapping[str, Any]) -> ContentError | None:
    """Return why these words can not be said in this context, or None if they can."""
    try:
        words.compiled.render({UNSUBSCRIBE: "https://example.com", **context})
    except ContentError as error:
        return error
    return None


def bucket_of(campaign_id: UUID, address_key: bytes) -> int:
    """Return where chance has put an address in a campaign, from 0 to ``BUCKETS`` - 1: always the same."""
    return int.from_bytes(blake2b(campaign_id.bytes + address_key, digest_size=8).digest()) % BUCKETS


def sample_limit(campaign: Campaign) -> int:
    """Return below which bucket an address is in the sample: all of them are once the winner is known."""
    if not campaign.ab_test or campaign.winner:
        return BUCKETS
    return int(campaign.ab_test["sample_percent"] * BUCKETS / 100)


def variant_of(campaign: Campaign, bucket: int) -> str:
    """Return the variant that an address in this bucket gets."""
    if not campaign.variants or campaign.winner:
        return campaign.winner
    weights = [each["weight"] for each in campaign.variants]
    point = bucket * sum(weights) / sample_limit(campaign)
    for each, weight in zip(campaign.variants, weights, strict=True):
        if point < weight:
            return str(each["name"])
        point -= weight
    return str(campaign.variants[-1]["name"])


def check_variants(variants: Sequence[Mapping[str, Any]], ab_test: Mapping[str, Any] | None) -> None:
    """Raise ``InvalidInput`` for variants that are no choice, or a test without variants."""
    names = [each["name"] for each in variants]
    if variants and not 2 <= len(variants) <= 4:
        _refuse("variants", "Give two to four variants.")
    if len(set(names)) < len(names):
        _refuse("variants", "Each variant needs a name of its own.")
    if ab_test and not variants:
        _refuse("ab_test", "A test needs variants.")


def _refuse(field: str, message: str) -> None:
    raise InvalidInput(f"{field}: {message}", errors={field: [message]})
