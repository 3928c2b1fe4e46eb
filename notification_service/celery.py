"""The Celery application: four queues, and what beat ticks."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_process_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notification_service.settings")

app = Celery("notification_service")
app.config_from_object("django.conf:settings.CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def _leave_logging_to_django(**_: Any) -> None:
    """Having a receiver is what stops Celery from configuring logging itself."""
