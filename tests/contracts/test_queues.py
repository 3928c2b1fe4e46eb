"""Every Celery queue has a worker, wherever the service runs, and every task goes to one of them."""

from __future__ import annotations

from pathlib import Path

import yaml

from notification_service.celery import QUEUES, app
from notification_service.local.services import WORKERS
from notifications.records.states import Lane

ROOT = Path(__file__).resolve().parents[2]


def test_every_lane_has_a_queue() -> None:
    assert set(Lane.values) < set(QUEUES)
    assert {queue.name for queue in app.conf.task_queues} == set(QUEUES)


def test_make_up_serves_every_queue() -> None:
    served = [queue for queues, _ in WORKERS.values() for queue in queues.split(",")]
    assert sorted(served) == sorted(QUEUES)


def test_compose_serves_every_queue() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    served = [
        queue
        for service in services.values()
        if service.get("command") == ["worker"]
        for queue in service["environment"]["WORKER_QUEUES"].split(",")
    ]
    assert sorted(served) == sorted(QUEUES)


def test_tasks_go_to_queues_that_exist() -> None:
    app.loader.import_default_modules()
    ours = {name: task for name, task in app.tasks.items() if not name.startswith("celery.")}
    assert ours
    assert app.conf.task_default_queue in QUEUES
    assert {task.queue for task in ours.values() if getattr(task, "queue", None)} <= set(QUEUES)
