"""What an event comes to: which rules, or else the catalogue, want what of it. Deciding writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.utils import timezone

from notifications.events.catalogue import known_events
from notifications.events.happening import Happening
from notifications.events.messages import Context, Reaction, Ways, Words, add_messages
from notifications.events.models import EventSetting, EventStatus
from notifications.events.patience import is_worth_waiting
from notifications.events.people import Person, people_of
from notifications.events.rules.matching import active_rules, by_rules
from notifications.events.settings_of import settings_by_type
from notifications.records.roster import unanswered
from notifications.records.states import Lane

_WAITING: Final = str(EventStatus.WAITING)
_PROCESSED: Final = str(EventStatus.PROCESSED)
_IGNORED: Final = str(EventStatus.IGNORED)
_FAILED: Final = str(EventStatus.FAILED)


def react(events: Sequence[Happening]) -> list[list[Reaction]]:
    """Return the reactions to each event, in one pass. Needs the tenant's scope. Writes nothing."""
    ways, settings_of, rules = Ways(), settings_by_type(), active_rules()
    plans: dict[str, _Plan | None] = {}
    now = timezone.now()
    found = []
    for event, person in zip(events, people_of(events), strict=True):
        if event.depth > settings.EVENT_MAX_DEPTH:
            found.append([Reaction("loop_guard", matched=False, why=f"{event.depth} events led to each other.")])
            continue
        reactions = by_rules(rules, event, person, ways) if rules else []
        if event.type not in plans:
            plans[event.type] = _plan(event.type, settings_of.get(event.type))
        plan = plans[event.type]
        if plan is not None and not any(reaction.matched for reaction in reactions):
            reactions.append(_by_catalogue(event, person, plan, ways))
        waits = is_worth_waiting(reactions, event.received_at, now)
        found.append([_put_off(person)] if waits else reactions)
    return found


def _put_off(person: Person) -> Reaction:
    """The reaction to an event about somebody of whom nothing was said: nothing yet, from none of the rules."""
    return Reaction("user_service", matched=False, why=f"{unanswered(person.user_id)} It is asked again.", waits=True)


def conclude(event: Happening, reactions: Sequence[Reaction], now: datetime) -> None:
    """Write into the event what came of it."""
    event.reactions = [reaction.story() for reaction in reactions]
    event.processed_at, event.detail = now, ""
    if reactions and reactions[0].waits:
        event.status, event.detail = _WAITING, reactions[0].why
        return
    wanted = [reaction for reaction in reactions if reaction.matched]
    if not wanted:
        event.status = _IGNORED
        event.detail = reactions[-1].why if reactions else "No rule, and no event that the service knows."
        return
    for reaction in wanted:
        if reaction.drafts or reaction.order or not reaction.skipped:
            event.status = _PROCESSED
            return
    event.status = _FAILED
    event.detail = "Nobody could be reached: " + " ".join(
        dict.fromkeys(skip["detail"] for reaction in wanted for skip in reaction.skipped)
    )


@dataclass(slots=True)
class _Plan:
    """What is done at a tenant about a known event for which there is no rule: the words by channel."""

    wanted: Mapping[str, Words]
    lane: str
    defaults: Mapping[str, Any]
    enabled: bool


def _plan(event_type: str, setting: EventSetting | None) -> _Plan | None:
    """Return what the catalogue says, and where the tenant wants it otherwise."""
    known = known_events().get(event_type)
    if known is None:
        return None
    if setting is None:
        setting = EventSetting(type=event_type)
    chosen = setting.channels if setting.channels is not None else known.channels
    wanted = {key: setting.templates.get(key) or known.templates.get(key) or {} for key in chosen}
    return _Plan(wanted, str(Lane(setting.priority or known.priority)), known.defaults, setting.enabled)


def _by_catalogue(event: Happening, person: Person, plan: _Plan, ways: Ways) -> Reaction:
    """The reaction to a known event for which there is no rule."""
    if not plan.enabled:
        return Reaction("catalogue", matched=False, why="The tenant has switched this event off.")
    reaction = Reaction("catalogue", matched=True, why="The service knows this event.")
    add_messages(reaction, event, person, plan.wanted, Context(event, person, plan.defaults), ways, lane=plan.lane)
    return reaction
