"""Recipients become rows: checked, brought into their normal form, each address once, in chunks of bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Final

from django.db import connection

from notification_service.lib.ids import new_id
from notification_service.lib.scope import current_tenant_id
from notifications.batches.copying import INCOMING, as_jsonb, insert_copied
from notifications.batches.people import addresses_by_user
from notifications.campaigns import tallies
from notifications.campaigns.models import Campaign
from notifications.campaigns.tallies import Counted
from notifications.campaigns.timing import zone_of
from notifications.campaigns.words import bucket_of
from notifications.channels.base import ContentError
from notifications.channels.registry import channels
from notifications.recipients.models import MAX_ADDRESS
from notifications.recipients.services import PUSH, devices_of
from notifications.recipients.suppressions import suppression_key
from tenants.limits import default_region

#: Rows of a source that are staged at a time.
CHUNK: Final = 2_000


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody to write to, as they were given. ``number`` is the place in what they come from."""

    number: int
    recipient: str
    context: Mapping[str, Any] = field(default_factory=dict)
    user_id: str = ""
    locale: str = ""
    timezone: str = ""
    #: Why it can not be written to, where its source knows that already.
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """A candidate whose address is normal, or the reason why it has none."""

    candidate: Candidate
    address: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Staged:
    """What became of candidates."""

    staged: int = 0
    duplicates: int = 0
    rejected: int = 0


def check(campaign: Campaign, candidates: Sequence[Candidate]) -> list[Checked]:
    """Bring addresses into their normal form; people who are named by an id become their addresses."""
    channel, region = channels.get(campaign.channel), default_region(campaign.tenant_id)
    checked = []
    for candidate in _with_addresses(campaign.channel, candidates):
        if candidate.refused:
            checked.append(Checked(candidate, candidate.recipient[:MAX_ADDRESS], candidate.refused))
            continue
        try:
            address = channel.normalise_address(candidate.recipient, region=region)
        except ContentError as error:
            checked.append(Checked(candidate, candidate.recipient[:MAX_ADDRESS], error.message))
            continue
        if len(address) > MAX_ADDRESS:
            checked.append(Checked(candidate, "", f"An address has at most {MAX_ADDRESS} characters."))
        else:
            checked.append(Checked(candidate, address))
    return checked


def stage(campaign: Campaign, checked: Sequence[Checked]) -> Staged:
    """Write rows and count them; an address that the campaign has already is a duplicate. Needs the tenant's scope."""
    done = _write(campaign, checked) if checked else Staged()
    tallies.add(
        campaign.id,
        {
            Counted(tallies.STAGED): done.staged + done.rejected,
            Counted(tallies.DUPLICATE): done.duplicates,
            Counted(tallies.REJECTED, "invalid_address"): done.rejected,
        },
    )
    return done


def address_key(channel: str, address: str) -> bytes:
    """Return what two spellings of one address have in common, in 16 bytes."""
    return blake2b(suppression_key(channel, address).encode("utf-8", "replace"), digest_size=16).digest()


_COLUMNS: Final = {
    "id": "uuid",
    "address": "text",
    "address_key": "bytea",
    "bucket": "int2",
    "context": "jsonb",
    "user_id": "text",
    "locale": "text",
    "timezone": "text",
    "number": "int4",
    "reason": "text",
}
_WRITE = f"""
WITH written AS (
    INSERT INTO campaign_recipient (id, tenant_id, campaign_id, address, address_key, bucket, context, user_id, locale,
        timezone, number, state, reason, variant)
    SELECT id, %(tenant)s, %(campaign)s, address, address_key, bucket, context, user_id, locale, timezone, number,
        CASE WHEN reason = '' THEN 'staged' ELSE 'rejected' END, reason, ''
    FROM {INCOMING} ON CONFLICT (campaign_id, address_key) DO NOTHING RETURNING state)
SELECT count(*), count(*) FILTER (WHERE state = 'rejected') FROM written
"""


def _write(campaign: Campaign, checked: Sequence[Checked]) -> Staged:
    rows = (_row(campaign, each) for each in checked)
    parameters = {"tenant": current_tenant_id(), "campaign": campaign.id}
    ((written, rejected),) = insert_copied(_COLUMNS, rows, _WRITE, parameters)
    return Staged(written - rejected, len(checked) - written, rejected)


def _row(campaign: Campaign, each: Checked) -> tuple[Any, ...]:
    candidate = each.candidate
    # What is wrong is listed as often as it was given.
    spelling = f"{candidate.number}:{each.address}" if each.problem else each.address
    key = address_key(campaign.channel, spelling)
    owner = "" if each.problem else channels.get(campaign.channel).user_id_of(each.address)
    return (
        new_id(),
        _clean(each.address),
        key,
        bucket_of(campaign.id, key),
        as_jsonb(candidate.context),
        _clean(candidate.user_id or owner)[:255],
        _clean(candidate.locale)[:35],
        candidate.timezone if is_zone(candidate.timezone) else "",
        candidate.number,
        _clean(each.problem)[:255],
    )


def is_zone(name: str) -> bool:
    """Whether there is a time zone of this name; the empty one is that of the campaign."""
    try:
        return not name or bool(zone_of(name))
    except ValueError:
        return False


def _with_addresses(channel: str, candidates: Sequence[Candidate]) -> Iterator[Candidate]:
    """Yield candidates, those who name a person and no address once for each address at which the person is known."""
    people = {each.user_id for each in candidates if each.user_id and not each.recipient and not each.refused}
    found = _reached(channel, people) if people else {}
    for each in candidates:
        if each.recipient or each.refused or not each.user_id:
            yield each
        elif reached := found.get(each.user_id):
            for address, locale in reached:
                yield replace(each, recipient=address, locale=each.locale or locale)
        else:
            yield replace(each, refused="no_device" if channel == PUSH else "no_address")


def _reached(channel: str, people: set[str]) -> dict[str, list[tuple[str, str]]]:
    """Return where people are reached: addresses, and the languages of those that have one of their own."""
    if channel == PUSH:
        devices = devices_of(people)
        return {user_id: [(device.token, device.locale) for device in some] for user_id, some in devices.items()}
    if channel == "inapp":  # whose inbox it is says the id itself, known here or not
        return {user_id: [(user_id, "")] for user_id in people}
    known = addresses_by_user(people, channel)
    return {user_id: [(address, "") for address in addresses] for user_id, addresses in known.items()}


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\x00", "")


# A loose index scan: one step per zone, however many recipients each has.
_ZONES = """
WITH RECURSIVE zones AS (
    (SELECT timezone FROM campaign_recipient WHERE campaign_id = %(campaign)s AND state = 'staged'
     ORDER BY timezone LIMIT 1)
    UNION ALL
    SELECT next.timezone FROM zones, LATERAL (
        SELECT timezone FROM campaign_recipient
        WHERE campaign_id = %(campaign)s AND state = 'staged' AND timezone > zones.timezone
        ORDER BY timezone LIMIT 1) AS next
)
SELECT timezone FROM zones
"""
# Each is one step into the index, past what is dealt with: dead entries are not walked over again and again.
_NEXT = """
SELECT z.timezone, n.bucket FROM unnest(%(zones)s::text[], %(reached)s::int[]) AS z (timezone, reached),
LATERAL (SELECT bucket FROM campaign_recipient AS r WHERE r.campaign_id = %(campaign)s AND r.state = 'staged'
    AND r.timezone = z.timezone AND r.bucket >= z.reached ORDER BY r.bucket LIMIT 1) AS n
"""


def look_ahead(campaign: Campaign) -> dict[str, int]:
    """Return the time zones of those who still wait, and the next bucket of each that has somebody in it.

    Remembers it in ``campaign.reached`` (not saved): where the next look begins.
    """
    with connection.cursor() as cursor:
        if campaign.reached is None:
            cursor.execute(_ZONES, {"campaign": campaign.id})
            campaign.reached = {row[0]: 0 for row in cursor.fetchall()}
        zones, reached = list(campaign.reached), list(campaign.reached.values())
        cursor.execute(_NEXT, {"campaign": campaign.id, "zones": zones, "reached": reached})
        campaign.reached = dict(cursor.fetchall())
    return dict(campaign.reached)
