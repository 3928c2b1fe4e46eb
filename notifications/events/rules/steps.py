"""What waits: rows with a due time, claimed with SKIP LOCKED by whoever ticks. No timers, no election, no memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import Error, InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from notification_service.lib.ids import new_id
from notification_service.lib.scope import current_tenant_id, platform_scope, tenant_scope
from notifications.events.happening import FIELDS, Happening
from notifications.events.messages import Reaction, Ways, carry_out, within_quota
from notifications.events.models import Event
from notifications.events.patience import asked_next, is_worth_waiting
from notifications.events.people import people_of, reachable
from notifications.events.rules.matching import ActiveRule, Order, add_for, made_ready, named_targets
from notifications.events.rules.models import RuleVersion, Step, StepKind, StepStatus, Throttle
from notifications.events.wake import wake_after_commit
from notifications.recipients.people import find_people, people_by_user_id
from notifications.records.models import NotificationRecord
from notifications.records.states import DeliveryState, Status

log = structlog.get_logger(__name__)

#: People of a fan-out that are written to in one turn, and steps that one turn claims.
PAGE: Final = 500
TURN: Final = 100
#: Events of a digest, and records of an event's story, that are kept by name; more are only counted.
_KEPT: Final = 100
_READ: Final = frozenset(
    {DeliveryState.READ, DeliveryState.ACKNOWLEDGED, DeliveryState.OPENED, DeliveryState.CLICKED, DeliveryState.SEEN}
)

_DIGEST: Final = """
INSERT INTO rule_step (id, tenant_id, version_id, rule_id, event_id, kind, status, due_at, key, cancel_key, state,
    detail, created_at)
VALUES (%s, %s, %s, %s, %s, 'digest', 'waiting', %s, %s, %s, jsonb_build_object('events', jsonb_build_array(%s::text),
    'count', 1), '', now())
ON CONFLICT (tenant_id, rule_id, key) WHERE kind = 'digest' AND status = 'waiting'
DO UPDATE SET state = jsonb_build_object(
    'count', (rule_step.state ->> 'count')::int + 1,
    'events', CASE WHEN jsonb_array_length(rule_step.state -> 'events') < %s
        THEN (rule_step.state -> 'events') || (excluded.state -> 'events') ELSE rule_step.state -> 'events' END)
"""
_THROTTLE: Final = """
INSERT INTO rule_throttle (id, tenant_id, rule_id, key, window_start, expires_at, count)
SELECT %(id)s, %(tenant)s, %(rule)s, %(key)s, begin, begin + %(seconds)s * interval '1 second', 1
FROM (SELECT to_timestamp(floor(extract(epoch FROM now()) / %(seconds)s) * %(seconds)s) AS begin) AS w
ON CONFLICT (tenant_id, rule_id, key, window_start) DO UPDATE SET count = rule_throttle.count + 1
RETURNING count
"""


def place_orders(placed: Sequence[tuple[Happening, Order]]) -> None:
    """Make rows of what rules want done later, or by many. Needs the tenant's scope."""
    now, steps = timezone.now(), []
    for event, order in placed:
        definition = order.rule.definition
        if definition.throttle and not _may_speak(order):
            _tell(event.id, order.rule.id, note="Throttled.", done=True)
            continue
        due = now + timedelta(seconds=definition.delay_seconds)
        if definition.digest:
            _add_to_digest(event, order, due + timedelta(seconds=definition.digest.seconds))
            continue
        steps.append(
            Step(
                tenant_id=event.tenant_id,
                version_id=order.rule.version_id,
                rule_id=order.rule.id,
                event_id=event.id,
                kind=StepKind.SEND,
                due_at=due,
                cancel_key=order.cancel_key,
            )
        )
    Step.objects.bulk_create(steps)
    if any(step.due_at <= now for step in steps):
        wake_after_commit(current_tenant_id())


def cancel_steps(cancel_key: str, *, why: str) -> int:
    """Cancel everything that waits under a key; return how many steps that were. Needs the tenant's scope."""
    if not cancel_key:
        return 0
    waiting = list(Step.objects.select_for_update().filter(status=StepStatus.WAITING, cancel_key=cancel_key))
    for step in waiting:
        _finish(step, StepStatus.CANCELLED, why)
    return len(waiting)


def tenants_with_due() -> list[UUID]:
    """Return the tenants that have steps to take now."""
    with platform_scope("find due steps"):
        due = Step.objects.filter(status=StepStatus.WAITING, due_at__lte=timezone.now())
        return list(due.order_by().values_list("tenant_id", flat=True).distinct())


def take_steps(tenant_id: UUID, limit: int = TURN) -> int:
    """Take steps of a tenant that are due; return how many. Each that fails, fails alone."""
    with tenant_scope(tenant_id):
        due = Step.objects.filter(status=StepStatus.WAITING, due_at__lte=timezone.now()).order_by("due_at")
        steps = list(due.select_for_update(skip_locked=True)[:limit])
        rules = _rules({step.version_id for step in steps})
        ways = Ways()
        for step in steps:
            try:
                with transaction.atomic():
                    _take(step, rules[step.version_id], ways)
            except _Unanswered:
                _put_off(step)
            except (OperationalError, InterfaceError):
                raise
            except Exception as error:
                log.exception("step_failed", step_id=str(step.id), kind=step.kind)
                what = "The database refused it" if isinstance(error, Error) else "Internal error"
                _finish(step, StepStatus.FAILED, f"{what} ({type(error).__name__}).")
        return len(steps)


class _Unanswered(Exception):
    """The tenant's user service did not say who somebody is: what was begun is taken back, to be done later."""


def _put_off(step: Step) -> None:
    due = _due_first(step)
    step.state, step.due_at = {**step.state, "due": due.isoformat()}, asked_next(due, timezone.now())
    step.save(update_fields=["state", "due_at"])


def _due_first(step: Step) -> datetime:
    return datetime.fromisoformat(step.state["due"]) if "due" in step.state else step.due_at


def _take(step: Step, rule: ActiveRule, ways: Ways) -> None:
    row = Event.objects.filter(id=step.event_id).values(*FIELDS).first()
    if row is None:
        _finish(step, StepStatus.DONE, "The event is forgotten.")
        return
    event = Happening(**row)
    reaction = Reaction(rule.name, matched=True, why="", rule_id=rule.id)
    match step.kind:
        case StepKind.SEND:
            rest = _send(step, rule, event, reaction, ways)
        case StepKind.DIGEST:
            rest = _send_digest(step, rule, event, reaction, ways)
        case _:
            rest = _escalate(step, rule, event, reaction, ways)
    if is_worth_waiting([reaction], _due_first(step), timezone.now()):
        raise _Unanswered
    if not within_quota("test" if event.mode == "test" else "live", len(reaction.drafts)):
        _finish(step, StepStatus.FAILED, "This month's quota of notifications is used up.")
        return
    carry_out(reaction.drafts)
    level = int(step.state.get("level", 0)) if step.kind == StepKind.ESCALATION else 0
    _plan_escalation(step, rule, event, reaction, level)
    if rest:
        step.state = {**step.state, **rest}
        step.save(update_fields=["state"])
        _tell(event.id, rule.id, reaction)
        wake_after_commit(event.tenant_id)
    else:
        _finish(step, StepStatus.DONE, step.detail, reaction)


def _send(step: Step, rule: ActiveRule, event: Happening, reaction: Reaction, ways: Ways) -> dict[str, Any] | None:
    """Add the messages of one page of people; return where the next page begins, or None after the last."""
    targets = rule.definition.targets
    after = step.state.get("after")
    if after is None:
        (person,) = people_of([event])
        for target in named_targets(rule.definition, person):
            add_for(reaction, rule, event, target, ways)
    if not targets.are_looked_up:
        return None
    page = find_people(
        roles=targets.roles,
        user_ids=targets.users,
        where=targets.where,
        after=UUID(after) if after else None,
        limit=PAGE,
    )
    for target in reachable(page):
        add_for(reaction, rule, event, target, ways)
    return {"after": str(page[-1].id)} if len(page) == PAGE else None


def _send_digest(
    step: Step, rule: ActiveRule, event: Happening, reaction: Reaction, ways: Ways
) -> dict[str, Any] | None:
    """Add one message about all events of a digest: ``count`` and ``events`` (the first hundred) in its words."""
    ids = [UUID(each) for each in step.state["events"]]
    rows = Event.objects.filter(id__in=ids).order_by("id").values_list("type", "payload")
    values = {"count": step.state["count"], "events": [{"type": kind, **payload} for kind, payload in rows]}
    (person,) = people_of([event])
    targets = rule.definition.targets
    people = named_targets(rule.definition, person)
    if targets.are_looked_up:
        found = find_people(roles=targets.roles, user_ids=targets.users, where=targets.where, limit=PAGE)
        people += reachable(found)
    for target in people:
        add_for(reaction, rule, event, target, ways, values=values)
    for event_id in ids:
        if event_id != step.event_id:
            _tell(event_id, rule.id, note=f"Part of the digest of event {step.event_id}.", done=True)
    return None


def _escalate(step: Step, rule: ActiveRule, event: Happening, reaction: Reaction, ways: Ways) -> dict[str, Any] | None:
    """Add the next level's messages to whom the last one did not reach."""
    level = rule.definition.escalation[int(step.state["level"])]
    records = NotificationRecord.objects.filter(id__in=step.state["records"])
    reached: dict[str, bool] = {}
    for record in records:
        good = record.delivery_state in _READ
        if level.unless == "delivered":
            good = good or record.delivery_state == DeliveryState.DELIVERED or _is_stored(record)
        key = record.user_id or record.recipient
        reached[key] = reached.get(key, False) or good
    missed = [key for key, good in reached.items() if not good]
    if not missed and reached:
        step.detail = "Everybody was reached."
        return None
    (person,) = people_of([event])
    if level.targets is not None:
        targets = level.targets
        people = named_targets(rule.definition.model_copy(update={"targets": targets}), person)
        if targets.are_looked_up:
            found = find_people(roles=targets.roles, user_ids=targets.users, where=targets.where, limit=PAGE)
            people += reachable(found)
    else:
        people = [each for each in reachable(people_by_user_id(missed).values()) if each.user_id != person.user_id]
        own = {person.user_id, *(address for each in person.addresses.values() for address in each)}
        if own & set(missed) or not reached:
            people.append(person)
    for target in people:
        add_for(reaction, rule, event, target, ways, channels=level.channels, templates=level.templates)
    return None


def _is_stored(record: NotificationRecord) -> bool:
    """An in-app message is with its reader once it is stored."""
    return record.channel == "inapp" and record.status == Status.SUCCESS


def _plan_escalation(step: Step, rule: ActiveRule, event: Happening, reaction: Reaction, level: int) -> None:
    """Make the row of the level that follows what was just sent; whoever reads any of it is told no more."""
    following = level + 1 if step.kind == StepKind.ESCALATION else 0
    levels = rule.definition.escalation
    if following >= len(levels) or not (reaction.drafts or reaction.skipped):
        return
    sent = step.state["records"] if step.kind == StepKind.ESCALATION else []
    Step.objects.create(
        tenant_id=event.tenant_id,
        version_id=step.version_id,
        rule_id=step.rule_id,
        event_id=event.id,
        kind=StepKind.ESCALATION,
        due_at=timezone.now() + timedelta(seconds=levels[following].after_seconds),
        cancel_key=step.cancel_key,
        state={"level": following, "records": [*sent, *(str(draft.row.id) for draft in reaction.drafts)]},
    )


def _may_speak(order: Order) -> bool:
    policy = order.rule.definition.throttle
    if policy is None:
        return True
    with connection.cursor() as cursor:
        cursor.execute(
            _THROTTLE,
            {
                "id": new_id(),
                "tenant": current_tenant_id(),
                "rule": order.rule.id,
                "key": order.throttle_key,
                "seconds": policy.seconds,
            },
        )
        return int(cursor.fetchone()[0]) <= policy.limit


def _add_to_digest(event: Happening, order: Order, due: Any) -> None:
    rule = order.rule
    with connection.cursor() as cursor:
        cursor.execute(
            _DIGEST,
            [
                new_id(),
                event.tenant_id,
                rule.version_id,
                rule.id,
                event.id,
                due,
                order.digest_key,
                order.cancel_key,
                str(event.id),
                _KEPT,
            ],
        )


def _finish(step: Step, status: StepStatus, detail: str, reaction: Reaction | None = None) -> None:
    step.status, step.detail, step.finished_at = status, detail, timezone.now()
    step.save(update_fields=["status", "detail", "finished_at"])
    waiting = Step.objects.filter(event_id=step.event_id, rule_id=step.rule_id, status=StepStatus.WAITING).exists()
    _tell(step.event_id, step.rule_id, reaction, note=detail, done=not waiting)


def _tell(
    event_id: UUID, rule_id: UUID, reaction: Reaction | None = None, *, note: str = "", done: bool = False
) -> None:
    """Add to an event's story what a step of one of its rules has done."""
    event = Event.objects.select_for_update().filter(id=event_id).first()
    if event is None:
        return
    for told in event.reactions:
        if told.get("rule_id") != str(rule_id):
            continue
        if reaction is not None:
            new = [{"id": str(draft.row.id), "channel": draft.channel} for draft in reaction.drafts]
            told["count"] = told.get("count", len(told["records"])) + len(new)
            told["records"] = (told["records"] + new)[:_KEPT]
            told["skipped"] = (told["skipped"] + reaction.skipped)[:_KEPT]
        if note:
            told["why"] = f"{told['why']} {note}".strip()[:2000]
        if done:
            told.pop("waiting", None)
    event.save(update_fields=["reactions"])


def _rules(version_ids: set[UUID]) -> dict[UUID, ActiveRule]:
    versions = RuleVersion.objects.filter(id__in=version_ids).select_related("rule")
    return {version.id: made_ready(version) for version in versions}


def forget_old(days: int) -> None:
    """Forget windows of throttles that are over, and steps that ended so many days ago (0 keeps them).

    Needs ``platform_scope``.
    """
    now = timezone.now()
    Throttle.objects.filter(expires_at__lt=now).delete()
    if days:
        Step.objects.filter(finished_at__lt=now - timedelta(days=days)).delete()
