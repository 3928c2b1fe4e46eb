"""Is it alive, and does every part of it work?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from notification_service.lib.heartbeat import silence
from notification_service.lib.partitions import covered_until
from notification_service.lib.redis import connection as redis_connection
from notifications.records.tasks import PARTITIONED
from tenants.api.permissions import PUBLIC
from tenants.api.views import ServiceView

#: Beat ticks at least every five seconds, and each sweep makes a worker heard of.
_BEAT_SILENCE = 20.0
_WORKER_SILENCE = 15.0 + 3 * settings.SWEEP_SECONDS
_CONSUMER_SILENCE = 30.0
_PARTITIONS_AHEAD_DAYS = 7


class Unhealthy(Exception):
    """A part does not work; the message says how that shows."""


def check_database() -> str:
    """PostgreSQL answers."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return "answers"


def check_redis() -> str:
    """Redis answers."""
    redis_connection().ping()
    return "answers"


def check_worker() -> str:
    """A Celery worker has done something lately."""
    return _heard_of("worker", _WORKER_SILENCE)


def check_beat() -> str:
    """Celery beat has ticked lately."""
    return _heard_of("beat", _BEAT_SILENCE)


def check_consumer() -> str:
    """A consumer of events has been heard of lately."""
    return _heard_of("consumer", _CONSUMER_SILENCE)


def check_partitions() -> str:
    """There is room for the records of the next days."""
    for table in PARTITIONED:
        end = covered_until(table)
        left = (end - timezone.now()).days if end else 0
        if left < _PARTITIONS_AHEAD_DAYS:
            raise Unhealthy(f"the partitions of {table} end in {left} days")
    return "made ahead"


def _heard_of(name: str, limit: float) -> str:
    silent = silence(name)
    if silent is None:
        raise Unhealthy("never heard of")
    if silent > limit:
        raise Unhealthy(f"not heard of for {silent:.0f} s")
    return f"heard of {silent:.0f} s ago"


CHECKS: Mapping[str, Callable[[], str]] = {
    "database": check_database,
    "redis": check_redis,
    "worker": check_worker,
    "beat": check_beat,
    "partitions": check_partitions,
    **({"consumer": check_consumer} if settings.KAFKA_BOOTSTRAP_SERVERS or settings.AMQP_URL else {}),
}

_pool = ThreadPoolExecutor(max_workers=len(CHECKS), thread_name_prefix="health")


def examine() -> dict[str, dict[str, Any]]:
    """Run every check, each in at most a few seconds; return ``{part: {"ok": bool, "detail": str}}``."""
    waiting = {name: _pool.submit(_run, check) for name, check in CHECKS.items()}
    found = {}
    for name, answer in waiting.items():
        try:
            found[name] = answer.result(timeout=8)
        except TimeoutError:
            found[name] = {"ok": False, "detail": "did not answer in time"}
    return found


def _run(check: Callable[[], str]) -> dict[str, Any]:
    try:
        return {"ok": True, "detail": check()}
    except Unhealthy as error:
        return {"ok": False, "detail": str(error)}
    except Exception as error:  # whatever a broken part raises is what we want to know
        return {"ok": False, "detail": type(error).__name__}
    finally:
        connection.close()


class PartOut(serializers.Serializer[Any]):
    ok = serializers.BooleanField()
    detail = serializers.CharField()


class HealthOut(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["ok", "unhealthy"])
    failing = serializers.ListField(child=serializers.CharField())
    parts = serializers.DictField(child=PartOut())


class LiveOut(serializers.Serializer[Any]):
    status = serializers.CharField()


@extend_schema(tags=["health"])
class Live(ServiceView):
    """This process answers. Says nothing about the parts behind it."""

    permissions = PUBLIC
    authentication_classes = []

    @extend_schema(operation_id="live", responses=LiveOut, auth=[])
    def get(self, request: Request) -> Response:
        return Response({"status": "ok"})


@extend_schema(tags=["health"])
class Health(ServiceView):
    """Every part: 200 if all work, 503 naming the failing ones otherwise."""

    permissions = PUBLIC
    authentication_classes = []

    @extend_schema(operation_id="health", responses={200: HealthOut, 503: HealthOut}, auth=[])
    def get(self, request: Request) -> Response:
        parts = examine()
        failing = [name for name, part in parts.items() if not part["ok"]]
        body: dict[str, Any] = {"status": "unhealthy" if failing else "ok", "failing": failing, "parts": parts}
        if failing:
            body |= {"detail": f"Not working: {', '.join(failing)}.", "code": "unhealthy"}
        return Response(body, status=503 if failing else 200)
