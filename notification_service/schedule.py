"""What beat ticks: each entry is a short interval, and each task finds out by itself what is due."""

from __future__ import annotations

from typing import Any

from django.conf import settings

Schedule = dict[str, dict[str, Any]]


def beat_schedule() -> Schedule:
    """Return Celery's ``beat_schedule``; intervals are in seconds."""
    schedule: Schedule = {
        "sweep": {"task": "notifications.records.tasks.sweep", "schedule": settings.SWEEP_SECONDS},
        "digests": {
            "task": "notifications.records.tasks.gather_digests",
            "schedule": 60.0,
            "options": {"queue": "bulk"},
        },
        "housekeep": {"task": "notifications.records.tasks.housekeep", "schedule": 3600.0},
        "sweep-batches": {
            "task": "notifications.batches.tasks.sweep",
            "schedule": settings.SWEEP_SECONDS,
            "options": {"queue": "bulk"},
        },
        "housekeep-batches": {
            "task": "notifications.batches.tasks.housekeep",
            "schedule": 600.0,
            "options": {"queue": "bulk"},
        },
        "campaigns": {"task": "notifications.campaigns.tasks.tick", "schedule": settings.SWEEP_SECONDS},
        "housekeep-campaigns": {"task": "notifications.campaigns.tasks.housekeep", "schedule": 3600.0},
        "inbox-wake": {"task": "notifications.inbox.tasks.wake_due", "schedule": settings.INBOX_SWEEP_SECONDS},
        "inbox-housekeep": {"task": "notifications.inbox.tasks.housekeep", "schedule": 3600.0},
        "sweep-events": {"task": "notifications.events.tasks.sweep", "schedule": settings.SWEEP_SECONDS},
        "housekeep-events": {"task": "notifications.events.tasks.housekeep", "schedule": 3600.0},
        "sweep-webhooks": {"task": "notifications.webhooks.tasks.sweep", "schedule": settings.SWEEP_SECONDS},
        "webhooks-quotas": {"task": "notifications.webhooks.tasks.quotas", "schedule": 60.0},
        "housekeep-webhooks": {"task": "notifications.webhooks.tasks.housekeep", "schedule": 600.0},
        "chat-notices": {"task": "messaging.tasks.send_notices", "schedule": 15.0},
        "chat-presence": {"task": "messaging.tasks.expire_presence", "schedule": 5.0},
        "chat-housekeep": {"task": "messaging.tasks.housekeep", "schedule": 3600.0},
    }
    if settings.KAFKA_BOOTSTRAP_SERVERS:
        schedule["publish-news"] = {"task": "notifications.events.tasks.publish", "schedule": 1.0}
    return schedule
