"""``/metrics``: figures for Prometheus, computed when they are asked for, from sources that are cheap to ask.

What every process has to say is in PostgreSQL and Redis already, so any web process answers for all of them. What can
not be had at the moment is left out, and ``notifications_source_up`` says why.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.http import HttpResponse
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from redis.exceptions import RedisError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request

from notification_service.lib.errors import NotFound
from notification_service.lib.heartbeat import silence
from notification_service.lib.partitions import covered_until
from notification_service.lib.redis import RedisUnavailable
from notification_service.lib.request_context import current_request
from notification_service.lib.scope import platform_scope
from notifications.credentials.circuit import circuits_of
from notifications.credentials.models import Credential, CredentialStatus
from notifications.events import lag
from notifications.records.backlog import backlog
from notifications.records.counters import outcome_counts
from notifications.records.tasks import PARTITIONED
from tenants.api.permissions import PUBLIC
from tenants.api.views import ServiceView

Source = Callable[[], Iterator[Metric]]
_HEARTBEATS: Final = ("worker", "beat", *(["consumer"] if settings.KAFKA_BOOTSTRAP_SERVERS else []))


def queues() -> Iterator[Metric]:
    """What is due and not yet sent."""
    due = GaugeMetricFamily("notifications_due_records", "Records that are due and not yet sent.", labels=["lane"])
    age = GaugeMetricFamily(
        "notifications_oldest_due_seconds", "How long the oldest due record has waited.", labels=["lane"]
    )
    for lane, found in backlog().items():
        due.add_metric([lane], found.due)
        age.add_metric([lane], found.oldest)
    yield from (due, age)


def accepted() -> Iterator[Metric]:
    """Rows that were inserted, as PostgreSQL counts them anyway: by month, so that a dropped month is no setback."""
    family = CounterMetricFamily(
        "notifications_accepted", "Records written, by the month of their partition.", labels=["month"]
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text, pg_stat_get_tuples_inserted(inhrelid) FROM pg_inherits"
            " WHERE inhparent = 'notification_record'::regclass ORDER BY 1"
        )
        for name, count in cursor.fetchall():
            family.add_metric([name.removeprefix("notification_record_").replace("_", "-")], count)
    yield family


def partitions() -> Iterator[Metric]:
    """Room for the records of the next days."""
    family = GaugeMetricFamily(
        "notifications_partitions_left_days", "Days for which there are partitions.", labels=["table"]
    )
    for table in PARTITIONED:
        end = covered_until(table)
        family.add_metric([table], (end - timezone.now()).total_seconds() / 86_400 if end else 0)
    yield family


def outcomes() -> Iterator[Metric]:
    """What became of live messages."""
    family = CounterMetricFamily(
        "notifications_outcomes", "Outcomes of live messages.", labels=["channel", "status", "reason"]
    )
    for kind, count in sorted(outcome_counts().items()):
        family.add_metric(list(kind), count)
    yield family


def circuits() -> Iterator[Metric]:
    """Credentials that are left alone because their provider keeps failing."""
    with platform_scope("circuits of all credentials"):
        known = list(Credential.objects.filter(status=CredentialStatus.ACTIVE).values_list("tenant_id", "id"))
    states = Counter(circuit.state for circuit in circuits_of(known))
    family = GaugeMetricFamily("notifications_circuits", "Active credentials by their circuit.", labels=["state"])
    for state in ("closed", "half_open", "open"):
        family.add_metric([state], states[state])
    yield family


def heartbeats() -> Iterator[Metric]:
    """For how long the parts that nobody can call were silent."""
    family = GaugeMetricFamily(
        "notifications_heartbeat_silence_seconds", "Seconds since a part was heard of.", labels=["part"]
    )
    for part in _HEARTBEATS:
        silent = silence(part)
        family.add_metric([part], float("inf") if silent is None else silent)
    yield family


def kafka() -> Iterator[Metric]:
    """What consumers have read, and how far they are behind."""
    behind = GaugeMetricFamily("notifications_kafka_lag", "Messages still to be read.", labels=["topic", "partition"])
    for place, count in sorted(lag.lags().items()):
        behind.add_metric(list(place), count)
    read = CounterMetricFamily(
        "notifications_kafka_messages", "Messages read, by what became of them.", labels=["kind"]
    )
    for kind, count in sorted(lag.counts().items()):
        read.add_metric([kind], count)
    yield from (behind, read)


_FROM_DATABASE: Final[tuple[Source, ...]] = (queues, accepted, partitions, circuits)
_FROM_REDIS: Final[tuple[Source, ...]] = (outcomes, heartbeats, kafka)


class ServiceCollector(Collector):
    """Everything above, as far as PostgreSQL and Redis answer."""

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("notifications_source_up", "Whether a source of metrics answered.", labels=["source"])
        for name, sources in (("database", _FROM_DATABASE), ("redis", _FROM_REDIS)):
            try:
                yield from [family for source in sources for family in source()]
                up.add_metric([name], 1)
            except (OperationalError, InterfaceError, RedisError, RedisUnavailable):
                up.add_metric([name], 0)
        yield up


_registry = CollectorRegistry(auto_describe=False)
_registry.register(ServiceCollector())


class _WhateverIsAsked(BaseContentNegotiation):
    """There is one representation: whoever scrapes gets it, whatever the ``Accept`` header says."""

    def select_renderer(self, request, renderers, format_suffix=None):  # type: ignore[no-untyped-def]
        return renderers[0], renderers[0].media_type


class Metrics(ServiceView):
    """Figures for operators. There is no such address for anybody who does not show ``METRICS_TOKEN``."""

    permissions = PUBLIC
    authentication_classes = []
    content_negotiation_class = _WhateverIsAsked
    schema = None

    def get(self, request: Request) -> HttpResponse:
        if not _may_read(request):
            raise NotFound
        return HttpResponse(generate_latest(_registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def _may_read(request: Request) -> bool:
    if settings.METRICS_TOKEN:
        shown = str(request.META.get("HTTP_AUTHORIZATION", ""))
        if hmac.compare_digest(shown.encode(), f"Bearer {settings.METRICS_TOKEN}".encode()):
            return True
    return bool(settings.DEBUG) and _is_loopback()


def _is_loopback() -> bool:
    context = current_request()
    try:
        return context is not None and ipaddress.ip_address(context.ip or "").is_loopback
    except ValueError:
        return False
