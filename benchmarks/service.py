"""Our side: companies with credentials, rows to send, the processes of the service, and counts from its tables.

Import it only after ``set_up``: the models need Django, and Django the environment of the stage.
"""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import redis
from django.conf import settings as service_settings
from django.db import connection
from django.utils import timezone

from benchmarks.scene import Scene
from benchmarks.stage import BenchmarkFailed, Program, Stage
from notification_service.lib.scope import platform_scope, tenant_scope
from notification_service.local.ports import free_ports
from notification_service.local.services import BULK_NICE, WEB_SERVER, WORKERS, worker_answers
from notifications.credentials.services import create_credential
from notifications.records.intake import NewRecord, accept_many
from notifications.records.wake import wake
from tenants import api_keys
from tenants.callers import Caller, system_caller
from tenants.models import Plan, Tenant, TenantStatus
from tenants.models.api_key import ApiKeyMode
from tenants.permissions import API_KEY_SCOPES

_TABLES = (
    "notification_record, attempt, record_event, idempotency_key, batch, batch_chunk, bulk_job, bulk_staged_row,"
    " bulk_broken_row"
)
_NO_SETTINGS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Company:
    """A tenant that may send: its caller in code, and its API key for HTTP."""

    caller: Caller
    key: str
    secret: str = field(repr=False)

    @property
    def id(self) -> UUID:
        return self.caller.required_tenant_id()


def company(slug: str, credentials: Mapping[str, tuple[str, Mapping[str, Any]]]) -> Company:
    """Make a company with an API key and, by channel, a credential (provider, payload)."""
    tenant = Tenant.objects.create(slug=slug, name=slug.title(), status=TenantStatus.ACTIVE, plan=Plan.ENTERPRISE)
    caller = replace(system_caller(tenant.id, "benchmark"), permissions=API_KEY_SCOPES)
    with tenant_scope(tenant.id):
        for channel, (provider, payload) in credentials.items():
            create_credential(caller, channel=channel, provider=provider, payload=payload)
        made = api_keys.create(caller, name="Benchmark", mode=ApiKeyMode.LIVE)
    return Company(caller, made.key.key, made.secret)


def smtp_credential(port: int, **fields: Any) -> tuple[str, dict[str, Any]]:
    """The credential of a mail sink."""
    return "smtp", {"host": "127.0.0.1", "port": port, "security": "none", "from_email": "news@acme.example", **fields}


def twilio_credential(port: int) -> tuple[str, dict[str, Any]]:
    """The credential of an HTTP sink that plays Twilio."""
    return "twilio", {
        "account_sid": "AC" + "0" * 32,
        "auth_token": "benchmark-token",
        "from_phone": "+15005550006",
        "base_url": f"http://127.0.0.1:{port}",
    }


def fill(who: Company, count: int, new: NewRecord, *, recipient: str, number: str) -> None:
    """Write ``count`` records like ``new``, each with a recipient and a context of its own, without waking anybody.

    The first goes through the intake; the others are copies of its row made by the database. ``recipient`` and
    ``number`` are SQL: the address of the record number ``n``, and the value of ``number`` in its context.
    """
    with tenant_scope(who.id):
        later = timezone.now() + timedelta(hours=1)  # scheduled, so that its acceptance wakes nobody
        (first,) = accept_many(who.caller, [replace(new, scheduled_at=later)])
        columns = [str(field.column) for field in type(first)._meta.concrete_fields]
        own = {
            "id": "uuidv7()",
            "recipient": recipient,
            "context": f"context || jsonb_build_object('number', {number})",
        }
        values = ", ".join(own.get(name, f"r.{name}") for name in columns)
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE notification_record SET status = 'pending', due_at = created_at, scheduled_at = NULL"
                " WHERE id = %s",
                [first.id],
            )
            cursor.execute(
                f"INSERT INTO notification_record ({', '.join(columns)}) SELECT {values} "
                "FROM notification_record AS r, generate_series(2, %s) AS n WHERE r.id = %s",
                [count, first.id],
            )
    forget_tokens()


def clear() -> None:
    """Delete all records."""
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {_TABLES}")
    forget_tokens()


def settle() -> None:
    """Bring the planner's statistics up to date, as autovacuum would in a while."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE notification_record")


def forget_tokens() -> None:
    """Delete drain tokens that nobody is going to work off, as their time-out would."""
    client = redis.Redis.from_url(service_settings.REDIS_URL)
    for key in client.scan_iter("tenant:*:drain:*"):
        client.delete(key)
    client.close()


def start_draining(who: Company, lane: str) -> None:
    """Send the drain token. Raises ``BenchmarkFailed`` if the broker did not take it."""
    if not wake(who.id, lane):
        raise BenchmarkFailed("the drain token was not taken")


def statuses(who: Company | None = None) -> dict[str, int]:
    """Count records by status, of one company or of all."""
    where, parameters = ("WHERE tenant_id = %s", [who.id]) if who else ("", [])
    with platform_scope("benchmark"), connection.cursor() as cursor:
        cursor.execute(f"SELECT status, count(*) FROM notification_record {where} GROUP BY status", parameters)
        return {status: int(count) for status, count in cursor.fetchall()}


def wait_for_success(count: int, *, seconds: float, who: Company | None = None) -> float:
    """Wait until ``count`` records are ``success``; return the moment (monotonic). Raises ``BenchmarkFailed``."""
    deadline = time.monotonic() + seconds
    while (found := statuses(who)).get("success", 0) < count:
        if time.monotonic() > deadline:
            raise BenchmarkFailed(f"{count} records should be success by now; there are {found}")
        time.sleep(0.02)
    return time.monotonic()


def start_worker(
    stage: Stage,
    settings: Mapping[str, str] = _NO_SETTINGS,
    *,
    concurrency: int = 2,
    queues: str = "critical,normal,bulk,control",
    name: str = "worker",
) -> Program:
    """Start a Celery worker, for all lanes if nothing is said."""
    return stage.start(
        name,
        *("-m", "celery", "-A", "notification_service", "worker", f"--queues={queues}"),
        *(f"--concurrency={concurrency}", f"--hostname=bench@{name}"),
        environment={**stage.environment, **settings},
        ready=lambda: worker_answers(stage.environment["REDIS_URL"], f"bench@{name}"),
    )


def keep_worker(scene: Scene) -> Program:
    """Start one worker for all lanes, and stop all others; it stays for other benchmarks."""
    scene.release(*(f"local {name}" for name in WORKERS))
    return scene.keep("worker", partial(start_worker, scene.stage))


def keep_workers(scene: Scene) -> list[Program]:
    """Start the workers that ``make up`` starts, bulk with its own, which gives way to the other; stop all others.

    They stay for other benchmarks.
    """
    scene.release("worker")

    def start(name: str, queues: str, processes: int) -> Program:
        settings = {"WORKER_NICE": str(BULK_NICE)} if queues == "bulk" else {}
        return start_worker(scene.stage, settings, concurrency=processes, queues=queues, name=name)

    return [
        scene.keep(f"local {name}", partial(start, name, queues, processes))
        for name, (queues, processes) in WORKERS.items()
    ]


def release_workers(scene: Scene) -> None:
    """Stop all of the service's workers that were kept."""
    scene.release("worker", *(f"local {name}" for name in WORKERS))


def start_beat(stage: Stage, settings: Mapping[str, str] = _NO_SETTINGS) -> Program:
    """Start Celery's beat."""
    command = ("-m", "celery", "-A", "notification_service", "beat", "--pidfile=")
    return stage.start("beat", *command, environment={**stage.environment, **settings})


def start_web(stage: Stage, *, processes: int = 1) -> tuple[Program, int]:
    """Start the service's web server; return it and its port."""
    (port,) = free_ports(1)
    program = stage.start(
        f"web-{processes}",
        *(*WEB_SERVER, "--host=127.0.0.1", f"--port={port}", f"--workers={processes}"),
        ready=lambda: answers(f"http://127.0.0.1:{port}/health"),
    )
    return program, port


def answers(url: str) -> bool:
    """Whether an HTTP server answers there at all."""
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own address
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
