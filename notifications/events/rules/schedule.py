"""Rules that speak by the clock: cron in the tenant's own time zone.

The next moment is computed with the zone's rules, so that 09:00 is 09:00 in summer and in winter; what a change of the
clocks leaves out is made up for once, and what it repeats is not (cronsim does as Debian's cron does).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from cronsim import CronSim
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
    """Return the tenant's time zone (``settings.time_zone``); UTC if it names none that exists."""
    settings: dict[str, Any] = Tenant.objects.values_list("settings", flat=True).get(id=tenant_id)
    try:
        return ZoneInfo(str(settings.get("time_zone") or "UTC"))
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")


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
            rule.next_run_at = next_run(version.definition["schedule"], zone, now)
            rule.save(update_fields=["next_run_at"])
            about = {"rule_id": str(rule.id)}
            name = f"schedule:{rule.id}:{at.isoformat()}"
            accept_events([NewEvent(SCHEDULED, {"at": at.isoformat()}, about, source="schedule", client_event_id=name)])
    return len(due)
