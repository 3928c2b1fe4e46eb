"""A tenant's rules over its events: compiled once, asked in one pass, each event's values converted once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import F
from django.utils import timezone

from notification_service.lib.remembered import Remembered
from notification_service.lib.scope import current_tenant_id
from notifications.channels.base import ContentError
from notifications.channels.placeholders import compile_text
from notifications.events.catalogue import known_events
from notifications.events.happening import Happening
from notifications.events.messages import Context, Reaction, Ways, Words, add_messages
from notifications.events.people import Person
from notifications.events.rules.conditions import Condition, compile_condition, judge, scope_of
from notifications.events.rules.definition import Definition
from notifications.events.rules.models import RuleVersion

_KEY: Final = 255


@dataclass(frozen=True, slots=True)
class ActiveRule:
    """A rule's current version, ready to be asked."""

    id: UUID
    version_id: UUID
    name: str
    description: str
    valid_from: datetime | None
    valid_until: datetime | None
    definition: Definition
    condition: Condition
    types: frozenset[str]


@dataclass(frozen=True, slots=True)
class Order:
    """What a rule wants done otherwise than at once; ``rules/steps.py`` makes rows of it."""

    rule: ActiveRule
    digest_key: str = ""
    throttle_key: str = ""
    cancel_key: str = ""


_known: Final = Remembered[list[ActiveRule]]("rules", seconds=2.0)


def active_rules() -> list[ActiveRule]:
    """Return the tenant's active rules in their order. Needs the tenant's scope."""
    return _known.get(current_tenant_id(), _looked_up)


def rules_changed(tenant_id: UUID) -> None:
    """Have them looked up again at the next event: they change in this transaction."""
    _known.change(tenant_id)


def _looked_up() -> list[ActiveRule]:
    current = RuleVersion.objects.filter(number=F("rule__version"), rule__active=True).select_related("rule")
    return [made_ready(version) for version in current.order_by("-rule__priority", "rule_id")]


def made_ready(version: RuleVersion) -> ActiveRule:
    """Return a version with its condition compiled."""
    definition = Definition.model_validate(version.definition)
    rule = version.rule
    return ActiveRule(
        rule.id,
        version.id,
        rule.name,
        rule.description,
        rule.valid_from,
        rule.valid_until,
        definition,
        compile_condition(definition.condition),
        frozenset(definition.event_types),
    )


def by_rules(rules: Sequence[ActiveRule], event: Happening, person: Person, ways: Ways) -> list[Reaction]:
    """Return what each rule that is concerned makes of an event, until one stops the others."""
    found: list[Reaction] = []
    scope, now = None, timezone.now()
    for rule in rules:
        if (rule.types and event.type not in rule.types) or (rule.definition.schedule and not _its_own(rule, event)):
            continue
        if (rule.valid_from and now < rule.valid_from) or (rule.valid_until and now >= rule.valid_until):
            continue
        scope = scope if scope is not None else scope_of(event)
        verdict = judge(rule.condition, scope)
        if not verdict.holds:
            why = verdict.error or "The condition does not hold."
            found.append(Reaction(rule.name, matched=False, why=why, rule_id=rule.id))
            continue
        found.append(apply(rule, event, person, ways))
        if rule.definition.stop_processing:
            break
    return found


def apply(rule: ActiveRule, event: Happening, person: Person, ways: Ways) -> Reaction:
    """Return what a rule that matches makes of an event: messages, or an order for what can not be done at once."""
    definition = rule.definition
    context = Context(event, person, {})
    reaction = Reaction(rule.name, matched=True, why="The condition holds.", rule_id=rule.id)
    reaction.cancels = _filled(definition.cancels, context)
    if definition.waits:
        digest, throttle = definition.digest, definition.throttle
        reaction.order = Order(
            rule,
            _filled(digest.key, context) if digest else "",
            _filled(throttle.key, context) if throttle else "",
            _filled(definition.cancel_key, context),
        )
        return reaction
    for target in named_targets(definition, person):
        add_for(reaction, rule, event, target, ways)
    return reaction


def add_for(reaction: Reaction, rule: ActiveRule, event: Happening, target: Person, ways: Ways, **over: Any) -> None:
    """Add a rule's messages to one target; ``channels`` and ``templates`` of an escalation win over the rule's own."""
    definition = rule.definition
    templates = {**definition.templates, **over.get("templates", {})}
    known = known_events().get(event.type)
    chosen = over.get("channels") or definition.channels
    if target.user_id == "" and target.addresses:
        chosen = [key for key in chosen if key in target.addresses] or list(target.addresses)
    wanted = {key: templates.get(key) or _default_words(rule, event, key) for key in chosen}
    context = Context(event, target, {**(known.defaults if known else {}), **over.get("values", {})})
    add_messages(reaction, event, target, wanted, context, ways, lane=definition.lane, sound=definition.sound)


def named_targets(definition: Definition, person: Person) -> list[Person]:
    """Return the targets that need no looking up: the event's own person, and raw addresses."""
    targets = definition.targets
    found = []
    nobody = not (targets.are_looked_up or targets.addresses)
    if targets.person or nobody:
        found.append(person)
    if targets.addresses:
        found.append(Person("", "", {key: tuple(each) for key, each in targets.addresses.items()}))
    return found


def _default_words(rule: ActiveRule, event: Happening, channel: str) -> Words:
    """The words of a known event, else the rule's name and description."""
    known = known_events().get(event.type)
    if known is not None and channel in known.templates:
        return known.templates[channel]
    title, body = _literal(rule.name), _literal(rule.description or rule.name)
    match channel:
        case "email":
            return {"subject": title, "text": body}
        case "sms" | "apprise":
            return {"body": body}
        case "whatsapp":
            return {"text": {"body": body}}
        case _:
            return {"title": title, "body": body}


def _literal(text: str) -> str:
    """A rule's name may hold placeholders; braces that are none are shown as they are."""
    try:
        compile_text(text, "text")
    except ContentError:
        return text.replace("{{", "{ {")
    return text


def _its_own(rule: ActiveRule, event: Happening) -> bool:
    return event.metadata.get("rule_id") == str(rule.id)


def _filled(text: str, context: Mapping[str, Any]) -> str:
    """Fill placeholders in; what has no value is left empty."""
    if not text:
        return ""
    compiled = compile_text(_literal(text), "key")
    values = dict.fromkeys(compiled.placeholders, "")
    for part in compiled.placeholders:
        value: Any = context
        for step in part.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
        if isinstance(value, str | int | float):
            values[part] = str(value)
    return compiled.render(values)[:_KEY]
