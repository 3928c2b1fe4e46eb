"""What a campaign says to whom: its content or its variants, compiled once, and who gets which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any
from uuid import UUID

from notification_service.lib.errors import ContentInvalid, InvalidInput
from notifications.campaigns.models import BUCKETS, Campaign
from notifications.channels.base import CompiledContent, ContentError
from notifications.channels.registry import channels
from notifications.recipients.suppressions import category_of
from notifications.records.categories import category_of_version
from notifications.records.words import provable
from notifications.templates.rendering import CompiledTemplate, compiled_version
from notifications.templates.services import resolve

__all__ = [
    "Words",
    "bucket_of",
    "category_of_campaign",
    "check_variants",
    "pin",
    "sample_limit",
    "variant_of",
    "words_of",
]


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one variant (``""``: of the campaign): content, or a version of a template."""

    variant: str
    content: Mapping[str, Any]
    template_version_id: UUID | None
    compiled: CompiledContent | CompiledTemplate

    def problem(self, context: Mapping[str, Any], locale: str = "") -> ContentError | None:
        """Return why these words can not be said in this context, or None if they can."""
        context = provable(self.compiled, context)
        try:
            if isinstance(self.compiled, CompiledTemplate):
                self.compiled.render(context, locale=locale)
            else:
                self.compiled.render(context)
        except ContentError as error:
            return error
        return None


def words_of(campaign: Campaign) -> dict[str, Words]:
    """Return a campaign's words by variant; a template that is not pinned yet is taken as published now.

    Needs the tenant's scope. Raises ``ContentInvalid`` and ``InvalidInput`` naming the field.
    """
    channel = campaign.channel
    if not campaign.variants:
        version = campaign.template_version_id or _version(channel, campaign.template, "template")
        return {"": _words(channel, "", campaign.content, version, "content")}
    found = {}
    for index, each in enumerate(campaign.variants):
        where, pinned = f"variants.{index}", each.get("template_version_id")
        version = UUID(pinned) if pinned else _version(channel, each.get("template") or "", f"{where}.template")
        found[each["name"]] = _words(channel, each["name"], each.get("content") or {}, version, f"{where}.content")
    return found


def pin(campaign: Campaign) -> None:
    """Keep for good which version of a template is said. Raises as ``words_of`` does."""
    campaign.template_version_id = None
    for each in campaign.variants:
        each.pop("template_version_id", None)
    words = words_of(campaign)
    if not campaign.variants:
        campaign.template_version_id = words[""].template_version_id
    for each in campaign.variants:
        version = words[each["name"]].template_version_id
        each["template_version_id"] = str(version) if version else None


def category_of_campaign(campaign: Campaign) -> str:
    """Return what a campaign's messages are about: what it says itself, else its template, else the first variant's.

    Needs the tenant's scope.
    """
    named = campaign.category or category_of(campaign.metadata)
    if named or "category" in campaign.metadata:
        return named
    versions = [campaign.template_version_id, *(each.get("template_version_id") for each in campaign.variants)]
    return next(filter(None, (category_of_version(UUID(str(each))) for each in versions if each)), "")


def _version(channel: str, template: str, field: str) -> UUID | None:
    if not template:
        return None
    try:
        return resolve(template, channel=channel).id
    except InvalidInput as error:
        raise InvalidInput(error.message, errors={field: error.errors.get("template", [error.message])}) from None


def _words(
    channel: str, variant: str, content: Mapping[str, Any], template_version_id: UUID | None, where: str
) -> Words:
    if template_version_id is not None:
        return Words(variant, {}, template_version_id, compiled_version(template_version_id))
    try:
        valid, found = channels.get(channel).prepare(content)
    except ContentError as error:
        raise ContentInvalid(error.message, errors={f"{where}.{error.field}": [error.message]}) from None
    return Words(variant, valid, None, found)


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
    raise InvalidInput.at(field, message)
