"""Verbs of rules: make, change, end, try without sending."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from notification_service.lib.errors import Conflict, InvalidInput, NotFound
from notification_service.lib.ids import new_id
from notifications.events.happening import Happening
from notifications.events.messages import Draft, Reaction, Ways, rendered
from notifications.events.people import people_of, reachable
from notifications.events.rules.conditions import scope_of, trace
from notifications.events.rules.definition import Definition, read_definition
from notifications.events.rules.matching import (
    ActiveRule,
    add_for,
    by_rules,
    made_ready,
    named_targets,
    rules_changed,
)
from notifications.events.rules.models import Rule, RuleVersion, Step
from notifications.events.rules.schedule import set_clock, zone_of
from notifications.events.rules.steps import cancel_steps
from notifications.events.secrets import take_out
from notifications.events.shapes import NewEvent
from notifications.recipients.people import find_people
from notifications.templates.services import resolve
from tenants import audit
from tenants.callers import Caller
from tenants.models import Plan, Tenant

#: Rules that a tenant may have, by its plan.
MAX_RULES: Final[Mapping[str, int]] = {Plan.FREE: 5, Plan.STARTER: 25, Plan.PROFESSIONAL: 100, Plan.ENTERPRISE: 1000}
#: People of a role that a trial shows.
_SHOWN: Final = 20
_OWN: Final = ("name", "description", "priority", "active", "valid_from", "valid_until")


@dataclass(frozen=True, slots=True)
class Trial:
    """What a rule would make of an event: ``would_send`` is what would go to whom, nothing was sent."""

    matched: bool
    why: str
    trace: list[dict[str, Any]]
    would_send: list[dict[str, Any]]
    skipped: list[dict[str, str]]
    later: dict[str, Any]


def check_rule(fields: Mapping[str, Any], definition: Mapping[str, Any]) -> Definition:
    """Return what a new rule says, checked. Needs the tenant's scope. Raises ``InvalidInput`` naming the field."""
    checked = read_definition(dict(definition))
    _check_templates("", checked.templates)
    for number, level in enumerate(checked.escalation):
        _check_templates(f"escalation.{number}.", level.templates)
    _check_times(fields.get("valid_from"), fields.get("valid_until"))
    return checked


def create_rule(caller: Caller, fields: Mapping[str, Any], definition: Mapping[str, Any]) -> Rule:
    """Make a rule. Needs the tenant's scope. Raises ``InvalidInput`` naming the field, ``Conflict``."""
    tenant_id = caller.required_tenant_id()
    checked = check_rule(fields, definition)
    most = MAX_RULES[Tenant.objects.values_list("plan", flat=True).get(id=tenant_id)]
    if Rule.objects.count() >= most:
        raise Conflict(f"The plan allows {most} rules.", code="too_many_rules")
    rule = Rule(id=new_id(), tenant_id=tenant_id, created_by=caller.actor_label[:255], **fields)
    _save(caller, rule, checked)
    audit.record(caller, "rule.created", "rule", rule.id, name=rule.name)
    return rule


def update_rule(caller: Caller, rule_id: UUID, fields: Mapping[str, Any], definition: Mapping[str, Any]) -> Rule:
    """Change a rule; what it says in another way becomes a new version, and what waits keeps the old one.

    ``definition`` holds what changes. Raises ``NotFound``, and as ``create_rule`` does.
    """
    rule = get_rule(rule_id, lock=True)
    current = current_version(rule).definition
    # What stands is not asked again: a rule can be switched off although its template is gone.
    checked = check_rule({}, {**current, **definition}) if definition else Definition.model_validate(current)
    before = _own(rule)
    for name, value in fields.items():
        setattr(rule, name, value)
    if _as_json(checked) != current:
        rule.version += 1
    _save(caller, rule, checked)
    audit.record(caller, "rule.updated", "rule", rule.id, before=before, after=_own(rule), version=rule.version)
    return rule


def delete_rule(caller: Caller, rule_id: UUID) -> None:
    """End a rule, and with it everything that waits because of it. Raises ``NotFound``."""
    rule = get_rule(rule_id)
    audit.record(caller, "rule.deleted", "rule", rule.id, name=rule.name)
    rule.delete()
    rules_changed(caller.required_tenant_id())


def get_rule(rule_id: UUID, *, lock: bool = False) -> Rule:
    """Return one of the tenant's rules. Raises ``NotFound``."""
    rows = Rule.objects.select_for_update() if lock else Rule.objects.all()
    rule = rows.filter(id=rule_id).first()
    if rule is None:
        raise NotFound
    return rule


def current_version(rule: Rule) -> RuleVersion:
    """Return what a rule says now."""
    return RuleVersion.objects.get(rule=rule, number=rule.version)


def definitions_of(rules: list[Rule]) -> dict[UUID, dict[str, Any]]:
    """Return what rules say now, by id, in one query."""
    numbers = {rule.id: rule.version for rule in rules}
    versions = RuleVersion.objects.filter(rule_id__in=numbers).values_list("rule_id", "number", "definition")
    return {rule_id: definition for rule_id, number, definition in versions if numbers[rule_id] == number}


def steps_of(rule_id: UUID) -> QuerySet[Step]:
    """Return what waits, or waited, because of a rule. Raises ``NotFound``."""
    return Step.objects.filter(rule=get_rule(rule_id))


def cancel(caller: Caller, cancel_key: str) -> int:
    """Cancel everything that waits under a key; return how many steps that were."""
    count = cancel_steps(cancel_key, why="Cancelled by the tenant.")
    audit.record(caller, "rule_steps.cancelled", "rule_step", cancel_key, count=count)
    return count


def try_rule(caller: Caller, rule: ActiveRule, new: NewEvent) -> Trial:
    """Say what a rule would make of a sample event: nothing is stored and nothing sent. Needs the tenant's scope."""
    payload, _ = take_out(new.type, new.payload)
    metadata = {**take_out("", new.metadata)[0], **({"rule_id": str(rule.id)} if rule.definition.schedule else {})}
    event = Happening(
        id=new_id(),
        tenant_id=caller.required_tenant_id(),
        type=new.type,
        payload=payload,
        metadata=metadata,
        user_id=new.user_id,
        source=new.source,
        client_event_id=None,
        client_timestamp=new.timestamp,
        mode=caller.mode,
        received_at=timezone.now(),
    )
    told = trace(rule.condition, scope_of(event))
    (person,), ways = people_of([event]), Ways()
    reactions = by_rules([rule], event, person, ways)
    if not reactions:
        types = ", ".join(sorted(rule.types)) or "another time"
        return Trial(False, f"The rule is for {types}, or not valid now.", told, [], [], {})
    (reaction,) = reactions
    if reaction.matched and reaction.order:
        targets, definition = rule.definition.targets, rule.definition
        people = named_targets(definition, person)
        if targets.are_looked_up:
            found = find_people(roles=targets.roles, user_ids=targets.users, where=targets.where, limit=_SHOWN)
            people += reachable(found)
        values = {"count": 1, "events": [{"type": event.type, **event.payload}]} if definition.digest else {}
        for target in people:
            add_for(reaction, rule, event, target, ways, values=values)
    would = [_shown(draft) for draft in reaction.drafts]
    return Trial(reaction.matched, reaction.why, told, would, reaction.skipped, _later(rule.definition, reaction))


def ready(rule: Rule) -> ActiveRule:
    """Return a rule's current version, ready to be tried."""
    return made_ready(current_version(rule))


def _save(caller: Caller, rule: Rule, definition: Definition) -> None:
    if Rule.objects.filter(name=rule.name).exclude(id=rule.id).exists():
        raise Conflict("There is a rule of this name.", code="name_taken", errors={"name": ["Is taken."]})
    _check_times(rule.valid_from, rule.valid_until)
    set_clock(rule, definition.schedule, zone_of(rule.tenant_id))
    rule.save()
    # The same number again is the same version: it is never changed.
    if not RuleVersion.objects.filter(rule=rule, number=rule.version).exists():
        RuleVersion.objects.create(
            tenant_id=rule.tenant_id,
            rule=rule,
            number=rule.version,
            definition=_as_json(definition),
            created_by=caller.actor_label[:255],
        )
    rules_changed(rule.tenant_id)


def _check_times(start: datetime | None, end: datetime | None) -> None:
    if start and end and end <= start:
        message = "Must lie after validFrom."
        raise InvalidInput(f"validUntil: {message}", errors={"validUntil": [message]})


def _check_templates(prefix: str, templates: Mapping[str, Any]) -> None:
    """See that the templates that are named are there."""
    for channel, key in templates.items():
        if isinstance(key, str):
            try:
                resolve(key, channel=channel)
            except InvalidInput as error:
                name = f"{prefix}templates.{channel}"
                raise InvalidInput.at(name, error.message) from None


def _as_json(definition: Definition) -> dict[str, Any]:
    return definition.model_dump(mode="json")


def _own(rule: Rule) -> dict[str, Any]:
    """Return what belongs to no version, as the audit log keeps it."""
    values = {name: getattr(rule, name) for name in _OWN}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


def _shown(draft: Draft) -> dict[str, Any]:
    return {
        "channel": draft.channel,
        "recipient": draft.row.recipient,
        "user_id": draft.row.user_id or None,
        "lane": draft.lane,
        "content": {name: value for name, value in rendered(draft).items() if value is not None},
    }


def _later(definition: Definition, reaction: Reaction) -> dict[str, Any]:
    """What would not happen at once."""
    if reaction.order is None:
        return {}
    return {
        "delay_seconds": definition.delay_seconds,
        "throttle_key": reaction.order.throttle_key if definition.throttle else None,
        "digest_key": reaction.order.digest_key if definition.digest else None,
        "cancel_key": reaction.order.cancel_key or None,
        "escalation": [level.after_seconds for level in definition.escalation],
    }
