"""The Celery application: a queue per lane and one for control, and what beat ticks."""

from __future__ import annotations

import gc
import os
import threading
import time
from contextlib import suppress
from typing import Any, Final

from billiard.util import set_pdeathsig  # type: ignore[attr-defined]  # left out of its stubs
from celery import Celery
from celery.beat import Scheduler
from celery.signals import (
    beat_init,
    celeryd_init,
    setup_logging,
    task_postrun,
    worker_process_init,
    worker_process_shutdown,
)
from django.conf import settings
from django.db import connections
from kombu import Exchange, Queue

from notification_service.checks import refuse_unsafe_settings
from notification_service.lib.heartbeat import beat
from notification_service.schedule import beat_schedule

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notification_service.settings")

#: Every queue that a worker must serve: the lanes, most urgent first, and the machinery's own.
QUEUES = ("critical", "normal", "bulk", "control")

_CONFIGURATION: Final[dict[str, Any]] = {
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_transport_options": {
        "socket_connect_timeout": 2,
        "socket_timeout": 10,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "visibility_timeout": 3600,
    },
    "task_ignore_result": True,
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "worker_prefetch_multiplier": 1,
    "worker_send_task_events": True,
    "worker_hijack_root_logger": False,
    "worker_soft_shutdown_timeout": 10,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "worker_enable_remote_control": True,
    "timezone": "UTC",
    "task_default_queue": "control",
    # A connection that Redis closed since its last use is opened again at once; whoever publishes has asked before
    # whether Redis is there at all.
    "task_publish_retry": True,
    "task_publish_retry_policy": {"max_retries": 2, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.2},
    # Celery's Django fixup closes the connection pool around every task otherwise; the engine's threads live on it.
    "CELERY_DB_REUSE_MAX": 1_000_000_000,
    "beat_scheduler": "notification_service.celery:HeartbeatScheduler",
    "beat_max_loop_interval": 5,
}


def _configuration() -> dict[str, Any]:
    return {
        **_CONFIGURATION,
        "broker_url": settings.REDIS_URL,
        "task_queues": [Queue(name, Exchange(name), routing_key=name) for name in QUEUES],
        "beat_schedule": beat_schedule(),
    }


app = Celery("notification_service")
app.add_defaults(_configuration)  # called when it is first needed: this module is imported before the settings are
app.autodiscover_tasks()


#: How often a pool process looks whether its worker lives, in seconds.
_LOOKS = 0.1


class HeartbeatScheduler(Scheduler):
    """Celery's scheduler, heard of at every tick. It keeps nothing on disk: each entry is a short interval."""

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        wait = super().tick(*args, **kwargs)
        beat("beat")
        return wait


@setup_logging.connect
def _leave_logging_to_django(**_: Any) -> None:
    """Having a receiver is what stops Celery from configuring logging itself."""


@celeryd_init.connect
@beat_init.connect
def _refuse_unsafe_settings(**_: Any) -> None:
    refuse_unsafe_settings()


@celeryd_init.connect
def _give_way(**_: Any) -> None:
    """Lower the priority of a worker that may wait (``WORKER_NICE``, 0 to 19); its pool inherits it."""
    os.nice(int(os.environ.get("WORKER_NICE", "0")))


@worker_process_init.connect
def _give_back_connections(**_: Any) -> None:
    """Return a task's connection to the pool, which looks at it before it hands it out again."""
    task_postrun.connect(lambda **_: connections.close_all(), weak=False)


@worker_process_init.connect
def _collect_less_garbage(**_: Any) -> None:
    """Leave what was imported out of collections, and collect less often: sending makes much and keeps nothing."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@worker_process_init.connect
def _outlive_the_worker_briefly(**_: Any) -> None:
    """A pool process whose worker was killed has nobody to work for, but messages that are on their way.

    What it has begun it ends, and what it has not begun it gives back, as at any other shutdown: so nothing is sent
    twice because a worker died. Nothing keeps it longer. Celery would have the kernel kill it at once.
    """
    with suppress(OSError):  # only Linux knows it
        set_pdeathsig(0)
    threading.Thread(target=_end_after, args=[os.getppid()], name="worker-watch", daemon=True).start()


def _end_after(worker: int) -> None:
    while os.getppid() == worker:
        time.sleep(_LOOKS)
    worker_process_shutdown.send(sender=None, pid=os.getpid(), exitcode=1)
    os._exit(1)
