"""Verbs of campaigns. Those that work in the background are in ``turns.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from notification_service.lib.errors import Conflict, ContentInvalid, InvalidInput, NotFound
from notifications.campaigns import sources, tallies
from notifications.campaigns.models import Campaign, CampaignRecipient
from notifications.campaigns.moves import get_locked, move, save, wrong_status
from notifications.campaigns.staging import Candidate, Checked, check, is_zone, stage
from notifications.campaigns.states import EDITABLE, FINAL, CampaignStatus, Segment, Staging
from notifications.campaigns.timing import first_moment
from notifications.campaigns.wake import wake_after_commit
from notifications.campaigns.words import check_variants, pin, variant_of, words_of
from notifications.credentials.services import require_credential
from notifications.records.intake import NewRecord, accept_many, channel_of
from notifications.records.models import NotificationRecord
from notifications.templates import lookups
from notifications.templates.building import UNSUBSCRIBE
from tenants import audit, limits
from tenants.callers import Caller
from tenants.models import Tenant

_MAX_ERRORS: Final = 50
#: Why somebody who is named by an id can not be written to.
_NOT_REACHED: Final = {
    "no_device": "No active device of this person is registered.",
    "no_address": "No address of this person is known for this channel.",
}
#: How far ahead a campaign may be scheduled.
_HORIZON: Final = timedelta(days=366)
#: What a campaign is made of, and what may change until it sends.
CONFIGURATION: Final = (
    "name",
    "category",
    "content",
    "template",
    "context",
    "metadata",
    "variants",
    "ab_test",
    "track",
    "timezone",
    "window",
    "throttle_per_minute",
    "frequency_cap",
)
#: Of these a campaign has one.
_WORDS: Final = frozenset({"content", "template", "variants"})


def create_campaign(
    caller: Caller,
    *,
    channel: str,
    configuration: Mapping[str, Any],
    recipients: Sequence[Candidate] = (),
    source: Mapping[str, Any] | None = None,
) -> Campaign:
    """Create a draft. ``recipients`` are staged at once, all or none; a ``source`` is read in the background.

    ``configuration`` has values for some of ``CONFIGURATION``. Needs the tenant's scope. Raises ``InvalidInput`` and
    ``ContentInvalid`` naming the field (``recipients.3.recipient``, ``recipients.3.context.name``).
    """
    channel_of(channel)
    campaign = Campaign(
        tenant_id=caller.required_tenant_id(),
        channel=channel,
        mode=caller.mode,
        source=dict(source or {"type": "inline"}),
        created_by=(caller.actor_label or caller.actor_id)[:255],
        **configuration,
    )
    if "timezone" not in configuration:
        campaign.timezone = Tenant.objects.values_list("timezone", flat=True).get(id=campaign.tenant_id)
    _check(campaign)
    sources.check_source(campaign.source, channel)
    sources.begin(campaign)
    campaign.save(force_insert=True)
    _stage_given(campaign, recipients)
    wake_after_commit(campaign.tenant_id, campaign.id)
    audit.record(caller, "campaign.created", "campaign", campaign.id, name=campaign.name)
    return campaign


def get_campaign(campaign_id: UUID) -> Campaign:
    """Return one of the tenant's campaigns. Raises ``NotFound``."""
    campaign = Campaign.objects.filter(id=campaign_id, deleted_at=None).first()
    if campaign is None:
        raise NotFound
    return campaign


def edit_campaign(caller: Caller, campaign_id: UUID, changes: Mapping[str, Any]) -> Campaign:
    """Change a campaign that has not begun. Raises ``NotFound``, ``Conflict``, and as creating does."""
    campaign = _editable(campaign_id)
    before = {name: getattr(campaign, name) for name in changes}
    for name, value in changes.items():
        setattr(campaign, name, value)
    if any(changes.get(name) for name in _WORDS):  # one kind of words takes the place of the other
        for name in _WORDS - changes.keys():
            setattr(campaign, name, type(getattr(campaign, name))())
    _check(campaign)
    if campaign.status == CampaignStatus.SCHEDULED:
        pin(campaign)
    save(campaign, **{name: getattr(campaign, name) for name in (*CONFIGURATION, "template_version_id")})
    after = {name: getattr(campaign, name) for name in changes}
    audit.record(caller, "campaign.updated", "campaign", campaign.id, before=before, after=after)
    return campaign


def add_recipients(caller: Caller, campaign_id: UUID, recipients: Sequence[Candidate]) -> Campaign:
    """Stage more recipients of a campaign that has not begun, all or none. Raises as creating does, ``Conflict``."""
    campaign = _editable(campaign_id)
    _stage_given(campaign, recipients)
    audit.record(caller, "campaign.recipients_added", "campaign", campaign.id, count=len(recipients))
    return campaign


def delete_campaign(caller: Caller, campaign_id: UUID) -> None:
    """Forget a draft, or a campaign that is over, and its recipients. Raises ``NotFound``, ``Conflict``."""
    campaign = get_locked(campaign_id)
    if campaign.status != CampaignStatus.DRAFT and campaign.status not in FINAL:
        raise wrong_status(campaign, f"A campaign that is {campaign.status} can not be deleted: cancel it first.")
    now = timezone.now()
    save(campaign, deleted_at=now, next_turn_at=now)
    wake_after_commit(campaign.tenant_id, campaign.id)
    audit.record(caller, "campaign.deleted", "campaign", campaign.id, name=campaign.name)


def launch(caller: Caller, campaign_id: UUID) -> Campaign:
    """Begin to send now; the words are pinned. Raises ``NotFound``, ``Conflict``, and as creating does."""
    campaign = get_locked(campaign_id)
    if campaign.status == CampaignStatus.PAUSED:
        raise wrong_status(campaign, "A campaign that is paused is resumed.")
    if campaign.status not in EDITABLE:
        raise wrong_status(campaign, f"A campaign that is {campaign.status} can not be launched.")
    _make_ready(campaign)
    campaign.scheduled_at = campaign.local_start = None
    move(campaign, CampaignStatus.SENDING)
    _save_launch(campaign)
    audit.record(caller, "campaign.launched", "campaign", campaign.id)
    return campaign


def schedule(caller: Caller, campaign_id: UUID, at: datetime, *, in_recipient_timezone: bool = False) -> Campaign:
    """Begin at a moment, or when each recipient's own clock shows a time (``at`` without its zone); words are pinned.

    A scheduled campaign may be scheduled anew. Raises ``NotFound``, ``Conflict``, ``InvalidInput`` for ``at``.
    """
    campaign = get_locked(campaign_id)
    if campaign.status not in EDITABLE:
        raise wrong_status(campaign, f"A campaign that is {campaign.status} can not be scheduled.")
    now = timezone.now()
    begins = first_moment(at) if in_recipient_timezone else at
    last = begins + timedelta(hours=26) if in_recipient_timezone else begins
    if last <= now or begins > now + _HORIZON:
        message = "Must lie in the future." if last <= now else f"Must lie within {_HORIZON.days} days."
        raise InvalidInput.at("at", message)
    _make_ready(campaign)
    campaign.scheduled_at, campaign.local_start = begins, at if in_recipient_timezone else None
    if campaign.status == CampaignStatus.DRAFT:
        move(campaign, CampaignStatus.SCHEDULED)
    _save_launch(campaign, next_turn_at=now)
    wake_after_commit(campaign.tenant_id, campaign.id)
    audit.record(caller, "campaign.scheduled", "campaign", campaign.id, at=at.isoformat(), local=in_recipient_timezone)
    return campaign


def pause(caller: Caller, campaign_id: UUID) -> Campaign:
    """Stop sending for now, what is queued included. Raises ``NotFound``, ``Conflict``."""
    return _moved(caller, campaign_id, CampaignStatus.PAUSED, "campaign.paused")


def resume(caller: Caller, campaign_id: UUID) -> Campaign:
    """Go on where it was paused. Raises ``NotFound``, ``Conflict``."""
    campaign = get_locked(campaign_id)
    if campaign.status != CampaignStatus.PAUSED:
        raise wrong_status(campaign, f"Only a paused campaign can be resumed; this one is {campaign.status}.")
    move(campaign, CampaignStatus.SENDING if campaign.launched_at else CampaignStatus.SCHEDULED)
    audit.record(caller, "campaign.resumed", "campaign", campaign.id)
    return campaign


def cancel(caller: Caller, campaign_id: UUID) -> Campaign:
    """End a campaign; what is queued is cancelled. Raises ``NotFound``, ``Conflict``."""
    return _moved(caller, campaign_id, CampaignStatus.CANCELLED, "campaign.cancelled")


def duplicate(caller: Caller, campaign_id: UUID, *, name: str = "") -> Campaign:
    """Make a draft with the same words, limits and recipients. Raises ``NotFound``."""
    original = get_campaign(campaign_id)
    configuration = {field: getattr(original, field) for field in CONFIGURATION}
    configuration["variants"] = [
        {key: value for key, value in each.items() if key != "template_version_id"} for each in original.variants
    ]
    configuration["name"] = name or f"Copy of {original.name}"[:255]
    source = {"type": "campaign", "campaign": str(original.id), "segment": str(Segment.ALL)}
    return create_campaign(caller, channel=original.channel, configuration=configuration, source=source)


def send_test(
    caller: Caller, campaign_id: UUID, recipients: Sequence[str], *, context: Mapping[str, Any], variant: str = ""
) -> list[NotificationRecord]:
    """Send what a campaign says to a few addresses, as ordinary records that are no part of it.

    What the context lacks is taken from the first recipient. Raises ``NotFound``, and as accepting a record does.
    """
    campaign = get_campaign(campaign_id)
    words = words_of(campaign)
    if variant and variant not in words:
        known = f"known: {', '.join(words)}" if campaign.variants else "this campaign has none"
        _refuse("variant", f"There is no variant {variant!r}; {known}.")
    first = CampaignRecipient.objects.filter(campaign_id=campaign.id).order_by("id").first()
    said = words[variant or (variant_of(campaign, first.bucket) if first else next(iter(words)))]
    values = {**campaign.context, **(first.context if first else {}), **context}
    if UNSUBSCRIBE in said.compiled.placeholders:
        values.setdefault(UNSUBSCRIBE, settings.PUBLIC_URL)  # nobody is unsubscribed by a test
    limits.admit(campaign.tenant_id, caller.mode, notifications=len(recipients))
    category = {"category": campaign.category} if campaign.category else {}
    return accept_many(
        caller,
        [
            NewRecord(
                channel=campaign.channel,
                recipient=recipient,
                content=said.content,
                template_version_id=said.template_version_id,
                context=values,
                metadata={**campaign.metadata, **category, "campaign_test": str(campaign.id)},
                locale=first.locale if first else "",
            )
            for recipient in recipients
        ],
    )


def _moved(caller: Caller, campaign_id: UUID, target: CampaignStatus, action: str) -> Campaign:
    campaign = get_locked(campaign_id)
    move(campaign, target)
    audit.record(caller, action, "campaign", campaign.id)
    return campaign


def _editable(campaign_id: UUID) -> Campaign:
    campaign = get_locked(campaign_id)
    if campaign.status not in EDITABLE:
        message = f"Only a campaign that is a draft or scheduled can be changed; this one is {campaign.status}."
        raise wrong_status(campaign, message)
    return campaign


def _check(campaign: Campaign) -> None:
    """Raise ``InvalidInput`` or ``ContentInvalid`` for a configuration that can not be sent."""
    given = [name for name in ("content", "template", "variants") if getattr(campaign, name)]
    if len(given) != 1:
        _refuse(given[1] if given else "content", "Give one of content, template and variants.")
    for index, each in enumerate(campaign.variants):
        if bool(each.get("content")) == bool(each.get("template")):
            _refuse(f"variants.{index}.content", "Give either content or a template.")
    if not is_zone(campaign.timezone) or not campaign.timezone:
        _refuse("timezone", f"{campaign.timezone!r} is not an IANA time zone.")
    if campaign.frequency_cap and not campaign.category:
        _refuse("category", "A frequency cap counts messages of a category: name one.")
    check_variants(campaign.variants, campaign.ab_test)
    for field in ("context", "metadata"):
        setattr(campaign, field, dict(getattr(campaign, field)))
    words_of(campaign)


def _stage_given(campaign: Campaign, recipients: Sequence[Candidate]) -> None:
    """Stage what a request brought, or refuse it all, naming what is wrong by its place."""
    errors: dict[str, list[str]] = {}
    checked = check(campaign, recipients)
    words, kind = words_of(campaign), InvalidInput
    for each in checked:
        where = f"recipients.{each.candidate.number}"
        if each.candidate.refused:
            errors[f"{where}.user_id"] = [_NOT_REACHED[each.candidate.refused]]
        elif each.problem:
            errors[f"{where}.recipient"] = [each.problem]
        elif not is_zone(each.candidate.timezone):
            errors[f"{where}.timezone"] = [f"{each.candidate.timezone!r} is not an IANA time zone."]
        elif each.candidate.locale and (problem_of_locale := _unknown_locale(each.candidate.locale)):
            errors[f"{where}.locale"] = [problem_of_locale]
        elif problem := _missing(campaign, words, each):
            errors[f"{where}.{problem[0]}"] = [problem[1]]
        if len(errors) >= _MAX_ERRORS:
            break
    if errors:
        where, messages = next(iter(errors.items()))
        is_content = all(".context" in name for name in errors)
        raise (ContentInvalid if is_content else kind)(f"{where}: {messages[0]}", errors=errors)
    stage(campaign, checked)


def _unknown_locale(tag: str) -> str:
    """Return what is wrong with a locale that nobody knows, or nothing."""
    try:
        lookups.check_locale(tag)
    except InvalidInput as error:
        return error.errors["locale"][0]
    return ""


def _missing(campaign: Campaign, words: Mapping[str, Any], each: Checked) -> tuple[str, str] | None:
    context = {**campaign.context, **each.candidate.context}
    for said in words.values():
        if problem := said.problem(context, each.candidate.locale):
            where = f"context.{problem.placeholder}" if problem.placeholder else "context"
            return where, problem.message
    return None


def _make_ready(campaign: Campaign) -> None:
    """Check that there is something to say, somebody to say it to and a way to do so; pin the words."""
    require_credential(campaign.channel, campaign.mode)  # type: ignore[arg-type]
    counted = tallies.totals(campaign.id)
    if campaign.staging == Staging.DONE and counted.of(tallies.STAGED) <= counted.handled:
        message = "It has no recipients."
        raise Conflict(message, code="no_recipients", errors={"recipients": [message]})
    pin(campaign)


def _save_launch(campaign: Campaign, **more: Any) -> None:
    save(
        campaign,
        scheduled_at=campaign.scheduled_at,
        local_start=campaign.local_start,
        template_version_id=campaign.template_version_id,
        variants=campaign.variants,
        **more,
    )


def _refuse(field: str, message: str) -> None:
    raise InvalidInput.at(field, message)
