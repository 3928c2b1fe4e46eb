"""Rules that speak by the clock: cron in the tenant's own time zone.

The next moment is computed with the zone's rules, so that 09:00 is 09:00 in summer and in winter; what a change of the
clocks leaves out is made up for once, and what it repeats is not (cronsim does as Debian's cron does).
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from cronsim import CronSim
from django.db.models import F
from django.utils import timezone

from notification_service.lib.scope import platform_scope, tenant_scope
from notifications.events.intake import accept_events
from notifications.events.rules.models import Rule, RuleVersion
from notifications.events.shapes import NewEvent
from tenants.models import Tenant

#: The type of the events that a clock makes.
SCHEDULED = "rule.scheduled"


def next_run(schedule: str, zone: ZoneInfo, after: datetime) -> datetime:
    """Return the first moment after another at which a cron expression holds, in UTC."""
    found: datetime = next(CronSim(schedule, after.astimezone(zone)))
    return found.astimezone(UTC)


def zone_of(tenant_id: UUID) -> ZoneInfo:
    """Return the tenant's time zone."""
    return ZoneInfo(Tenant.objects.values_list("timezone", flat=True).get(id=tenant_id))


def set_clock(rule: Rule, expression: str, zone: ZoneInfo) -> None:
    """Set (unsaved) when a rule speaks next; never, if it has no schedule or is not active."""
    speaks = bool(expression and rule.active)
    rule.next_run_at = next_run(expression, zone, timezone.now()) if speaks else None
    rule.zone = zone.key if speaks else ""


def follow_zones() -> int:
    """Reckon anew when rules speak whose tenant has moved to another time zone; return how many there were."""
    with platform_scope("follow tenants to their time zones"):
        clocks = Rule.objects.filter(active=True, next_run_at__gt=timezone.now())
        moved = clocks.exclude(zone=F("tenant__timezone")).select_related("tenant").select_for_update(of=("self",))
        rules = list(moved)
        for rule in rules:
            version = RuleVersion.objects.get(rule=rule, number=rule.version)
            set_clock(rule, version.definition["schedule"], ZoneInfo(rule.tenant.timezone))
            rule.save(update_fields=["next_run_at", "zone"])
    return len(rules)


def tenants_with_due() -> list[UUID]:
    """Return the tenants that have rules whose time has come."""
    with platform_scope("find due rules"):
        due = Rule.objects.filter(active=True, next_run_at__lte=timezone.now())
        return list(due.order_by().values_list("tenant_id", flat=True).distinct())


def run_due(tenant_id: UUID) -> int:
    """Make an event of each rule whose time has come, once, and set its next time; return how many there were."""
    now = timezone.now()
    with tenant_scope(tenant_id):
        due = list(Rule.objects.select_for_update(skip_locked=True).filter(active=True, next_run_at__lte=now))
        if not due:
            return 0
        zone = zone_of(tenant_id)
        for rule in due:
            at = rule.next_run_at
            assert at is not None  # noqa: S101 - the query says so
            version = RuleVersion.objects.get(rule=rule, number=rule.version)
            set_clock(rule, version.definition["schedule"], zone)
            rule.save(update_fields=["next_run_at", "zone"])
            about = {"rule_id": str(rule.id)}
            name = f"schedule:{rule.id}:{at.isoformat()}"
            accept_events([NewEvent(SCHEDULED, {"at": at.isoformat()}, about, source="schedule", client_event_id=name)])
    return len(due)
