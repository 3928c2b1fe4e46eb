"""What an event comes to: which rules, or else the catalogue, want what of it. Deciding writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.conf import settings

from notifications.events.catalogue import KnownEvent, known_events
from notifications.events.happening import Happening
from notifications.events.messages import Reaction, Ways, add_messages, context_of
from notifications.events.models import EventStatus
from notifications.events.people import Person, people_of
from notifications.events.rules.matching import active_rules, by_rules
from notifications.events.settings_of import settings_by_type
from notifications.records.states import Lane


def react(events: Sequence[Happening]) -> list[list[Reaction]]:
    """Return the reactions to each event, in one pass. Needs the tenant's scope. Writes nothing."""
    ways, wanted, rules = Ways(), settings_by_type(), active_rules()
    found = []
    for event, person in zip(events, people_of(events), strict=True):
        if event.depth > settings.EVENT_MAX_DEPTH:
            found.append([Reaction("loop_guard", matched=False, why=f"{event.depth} events led to each other.")])
            continue
        reactions = by_rules(rules, event, person, ways) if rules else []
        known = known_events().get(event.type)
        if known is not None and not any(reaction.matched for reaction in reactions):
            reactions.append(_by_catalogue(event, person, known, wanted.get(event.type), ways))
        found.append(reactions)
    return found


def conclude(event: Happening, reactions: Sequence[Reaction], now: datetime) -> None:
    """Write into the event what came of it."""
    wanted = [reaction for reaction in reactions if reaction.matched]
    event.reactions = [reaction.story() for reaction in reactions]
    event.processed_at = now
    if any(reaction.drafts or reaction.order or not reaction.skipped for reaction in wanted):
        event.status = str(EventStatus.PROCESSED)
    elif wanted:
        event.status = str(EventStatus.FAILED)
        event.detail = "Nobody could be reached: " + " ".join(
            dict.fromkeys(skip["detail"] for reaction in wanted for skip in reaction.skipped)
        )
    else:
        event.status = str(EventStatus.IGNORED)
        event.detail = reactions[-1].why if reactions else "No rule, and no event that the service knows."


def _by_catalogue(event: Happening, person: Person, known: KnownEvent, setting: Any, ways: Ways) -> Reaction:
    """The reaction to a known event for which there is no rule."""
    if setting is not None and not setting.enabled:
        return Reaction("catalogue", matched=False, why="The tenant has switched this event off.")
    reaction = Reaction("catalogue", matched=True, why="The service knows this event.")
    own = setting.templates if setting is not None else {}
    chosen = setting.channels if setting is not None and setting.channels is not None else known.channels
    priority = (setting.priority if setting is not None else None) or known.priority
    wanted = {key: own.get(key) or known.templates.get(key) or {} for key in chosen}
    add_messages(
        reaction, event, person, wanted, context_of(event, person, known.defaults), ways, lane=str(Lane(priority))
    )
    return reaction
