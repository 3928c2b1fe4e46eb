"""S1 and S2: a personalised campaign with a ledger of every recipient, to a mail server and to an HTTP provider.

The rows stand in the table before the clock starts. Ours runs from the wake-up to the last row that is ``success``;
the baseline from the first ``send_task`` to the last row that is ``sent``. What the sink got must be exact.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from celery import Celery

from benchmarks import service
from benchmarks.meter import Meter
from benchmarks.results import Result, median
from benchmarks.scene import Scene
from benchmarks.service import Company
from benchmarks.sinks.client import SinkClient
from benchmarks.stage import BenchmarkFailed
from notification_service.lib.scope import tenant_scope
from notifications.records.intake import NewRecord
from notifications.templates.models import MessageTemplate
from notifications.templates.services import NewTemplate, create_template

_TEMPLATES = Path(__file__).parent / "baselines" / "templates"
_CONTEXT: Final = {"name": "Ada Lovelace", "city": "London", "voucher": "AUTUMN-26", "number": "1"}
_SUBJECT: Final = "{{ name }}, your autumn news"


@dataclass(frozen=True, slots=True)
class Kind:
    """A channel, and how it is sent on both sides. ``recipient`` is SQL for the address of number ``n``."""

    name: str
    channel: str
    template: str
    task: str
    recipient: str
    first_recipient: str
    target: str
    first_target: float
    content: dict[str, Any]


#: Further baselines of S1 at full scale: a team that keeps its connection to the mail server open, too, and one that
#: has not noticed that Celery closes the database connection after every task.
_VARIANTS: Final = {
    "kept_smtp_connection": {"REUSE_SMTP_CONNECTION": "1"},
    "database_connection_a_task": {"KEEP_DATABASE_CONNECTION": "0"},
}


def _template(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


MAIL = Kind(
    "S1",
    "email",
    "mail",
    "benchmarks.baselines.tasks.send_mail",
    "'reader' || n || '@example.com'",
    "reader1@example.com",
    ">= 20x (moonshot 45x)",
    20.0,
    {"subject": _SUBJECT, "html": _template("mail.html"), "text": _template("mail.txt")},
)
TEXT = Kind(
    "S2",
    "sms",
    "text",
    "benchmarks.baselines.tasks.send_text",
    "'+49151' || (20000000 + n)",
    "+4915120000001",
    ">= 12x (moonshot 25x)",
    12.0,
    {"body": _template("text.txt").strip()},
)


def template_of(who: Company, kind: Kind) -> MessageTemplate:
    """Return the template of a kind, made if it is not there."""
    with tenant_scope(who.id):
        return MessageTemplate.objects.filter(slug=kind.template).first() or create_template(
            who.caller, NewTemplate(kind.template, kind.channel, kind.content, slug=kind.template, layout="none")
        )


def fill(who: Company, kind: Kind, count: int, lane: str = "bulk") -> None:
    """Write the campaign's records: of a template, as a campaign's are."""
    template = template_of(who, kind)
    new = NewRecord(kind.channel, kind.first_recipient, {}, _CONTEXT, lane=lane, template=template.slug)
    service.fill(who, count, new, recipient=kind.recipient, number="n::text")
    service.settle()


@dataclass(frozen=True, slots=True)
class Sent:
    """One round: messages a second, microseconds of processor time each, and how busy others kept the machine."""

    rate: float
    cpu: float
    others: float


def send_ours(meter: Meter, who: Company, kind: Kind, sink: SinkClient, count: int, *, limit: float = 900) -> Sent:
    """Send ``count`` messages. Raises ``BenchmarkFailed`` if the sink's count is not exact."""
    service.clear()
    fill(who, kind, count)
    sink.reset()
    meter.start()
    started = time.monotonic()
    service.start_draining(who, "bulk")
    sink.wait(count, seconds=limit)
    ended = service.wait_for_success(count, seconds=30, who=who)
    usage = meter.stop()
    _check(kind.name, sink, count)
    return Sent(count / (ended - started), usage.per_message(count), usage.others)


def send_baseline(meter: Meter, scene: Scene, kind: Kind, sink: SinkClient, count: int) -> Sent:
    """Send ``count`` messages, a task each. Raises ``BenchmarkFailed`` like ``send_ours``."""
    ids = _fill_baseline(scene, kind, count)
    sink.reset()
    with Celery(broker=scene.baseline_environment["REDIS_URL"], set_as_current=False) as app:
        app.conf.task_ignore_result = True
        meter.start()
        started = time.monotonic()
        for one in ids:
            app.send_task(kind.task, args=[one])
        sink.wait(count, seconds=300)
        while _pending(scene):
            if time.monotonic() - started > 330:
                raise BenchmarkFailed(f"{kind.name}: the baseline did not finish")
            time.sleep(0.01)
        ended = time.monotonic()
    usage = meter.stop()
    _check(f"{kind.name} baseline", sink, count)
    return Sent(count / (ended - started), usage.per_message(count), usage.others)


def run_mail(scene: Scene) -> Result:
    """S1."""
    who = service.company("readers", {"email": service.smtp_credential(scene.smtp.port)})
    result = _run(scene, MAIL, who, scene.smtp)
    if scene.scale.is_full:
        scene.release()
        result.details["other_baselines"] = {
            name: _variant(scene, settings, result.details["ours"]["rate"]) for name, settings in _VARIANTS.items()
        }
    return result


def _variant(scene: Scene, settings: Mapping[str, str], ours: float) -> dict[str, Any]:
    """Measure the baseline in other circumstances."""
    program = scene.start_baseline_worker(settings).wait()
    meter = Meter(scene.stage, [program])
    send_baseline(meter, scene, MAIL, scene.smtp, 50)
    measured = figures([send_baseline(meter, scene, MAIL, scene.smtp, scene.scale.baseline_mails)])
    program.stop()
    return {**measured, "ratio": round(ours / measured["rate"], 2)}


def run_text(scene: Scene) -> Result:
    """S2."""
    who = service.company("texts", {"sms": service.twilio_credential(scene.http.port)})
    return _run(scene, TEXT, who, scene.http)


def _run(scene: Scene, kind: Kind, who: Company, sink: SinkClient) -> Result:
    scale = scene.scale
    ours: list[Sent] = []
    theirs: list[Sent] = []
    baseline = scene.keep("baseline-worker", scene.start_baseline_worker)
    worker = service.keep_worker(scene)
    our_meter, their_meter = Meter(scene.stage, [worker.wait()]), Meter(scene.stage, [baseline.wait()])
    # A first round of each, to warm up and to see how many fit into a round.
    their_try = send_baseline(their_meter, scene, kind, sink, min(40, scale.baseline_mails))
    our_try = send_ours(our_meter, who, kind, sink, min(500, scale.mails))
    their_count = scale.count(scale.baseline_mails, their_try.rate)
    our_count = scale.count(scale.mails, our_try.rate)
    for _ in range(scale.rounds):
        theirs.append(send_baseline(their_meter, scene, kind, sink, their_count))
        ours.append(send_ours(our_meter, who, kind, sink, our_count))
    service.clear()
    our, their = figures(ours), figures(theirs)
    ratio = our["rate"] / their["rate"]
    return Result(
        kind.name,
        f"{our['rate']:,.0f}/s, {our['cpu_us']:,.0f} us CPU ({our_count:,} x {scale.rounds})",
        f"{their['rate']:,.0f}/s, {their['cpu_us']:,.0f} us CPU",
        ratio,
        kind.target,
        ratio >= kind.first_target,
        {
            "ours": our,
            "baseline": their,
            "cpu_ratio": round(their["cpu_us"] / our["cpu_us"], 2),
            "messages": our_count,
            "baseline_messages": their_count,
        },
    )


def figures(sent: Sequence[Sent]) -> dict[str, Any]:
    """Return what rounds came to."""
    return {
        "rate": round(median([one.rate for one in sent]), 1),
        "rates": [round(one.rate, 1) for one in sent],
        "cpu_us": round(median([one.cpu for one in sent]), 1),
        "machine_busy_with_others": [round(one.others, 2) for one in sent],
    }


def _check(name: str, sink: SinkClient, count: int) -> None:
    stats = sink.stats()
    if (stats.messages, stats.distinct) != (count, count):
        raise BenchmarkFailed(f"{name}: {count} were sent, the sink has {stats.messages} ({stats.distinct} different)")


def _fill_baseline(scene: Scene, kind: Kind, count: int) -> list[int]:
    scene.stage.baseline("TRUNCATE baselines_campaignrecipient, baselines_campaign")
    made = scene.stage.baseline(
        "WITH campaign AS (INSERT INTO baselines_campaign (subject, template) VALUES (%s, %s) RETURNING id)"
        " INSERT INTO baselines_campaignrecipient"
        " (campaign_id, address, context, status, provider_message_id, error, sent_at)"
        f" SELECT campaign.id, {kind.recipient}, %s::jsonb || jsonb_build_object('number', n::text), 'pending', '', '',"
        " NULL FROM campaign, generate_series(1, %s) AS n RETURNING id",
        (_SUBJECT, kind.template, json.dumps(_CONTEXT), count),
    )
    scene.stage.baseline("ANALYZE baselines_campaignrecipient")
    return [row[0] for row in made]


def _pending(scene: Scene) -> int:
    return int(scene.stage.baseline("SELECT count(*) FROM baselines_campaignrecipient WHERE status <> 'sent'")[0][0])
