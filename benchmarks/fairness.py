"""S4: how long a critical message of one tenant takes from POST to the mail server while another's campaign drains.

The same posts, on a schedule, against an idle service and against a busy one. In the full run also with four tenants'
campaigns at once, which keep every worker process busy.
"""

from __future__ import annotations

import json
import time

from benchmarks import campaign, service
from benchmarks.http_load import Load, generate
from benchmarks.intake import PATH
from benchmarks.results import Result, percentile
from benchmarks.scene import Scene
from benchmarks.service import Company
from benchmarks.stage import BenchmarkFailed

TARGET = "p99 <= 3x (moonshot 1.5x)"
_FIRST_TARGET = 3.0
#: Seconds between two critical messages.
_EVERY = 0.02
_BODY = json.dumps(
    {
        "channel": "email",
        "recipient": "urgent{n}@example.com",
        "content": {"subject": "Your code", "body": "Your code is 123456."},
        "lane": "critical",
    }
)


def run(scene: Scene) -> Result:
    """Measure idle, then busy."""
    credential = {"email": service.smtp_credential(scene.smtp.port)}
    urgent = service.company("urgent", credential)
    service.clear()
    web, port = scene.keep_server("web", lambda: service.start_web(scene.stage))
    workers = service.keep_workers(scene)
    details: dict[str, object] = {"every_s": _EVERY}
    try:
        web.wait()
        for worker in workers:
            worker.wait()
        _delays(scene, urgent, port, 0.5)  # warm
        idle = _delays(scene, urgent, port, scene.scale.critical_seconds)
        crowds = {1: "busy", 4: "busy_4_campaigns"} if scene.scale.is_full else {1: "busy"}
        busy: dict[str, list[float]] = {}
        for tenants, name in crowds.items():
            others = [service.company(f"crowd-{tenants}-{n}", credential) for n in range(tenants)]
            busy[name] = _while_draining(scene, urgent, others, port)
    finally:
        service.clear()
    for name, delays in {"idle": idle, **busy}.items():
        details[name] = {
            "messages": len(delays),
            "p50_ms": round(percentile(delays, 0.5) * 1000, 1),
            "p99_ms": round(percentile(delays, 0.99) * 1000, 1),
        }
    ratio = percentile(busy["busy"], 0.99) / percentile(idle, 0.99)
    return Result(
        "S4",
        f"p50 {percentile(busy['busy'], 0.5) * 1000:.0f} ms, p99 {percentile(busy['busy'], 0.99) * 1000:.0f} ms",
        f"idle p99 {percentile(idle, 0.99) * 1000:.0f} ms",
        ratio,
        TARGET,
        ratio <= _FIRST_TARGET,
        details,
    )


def _while_draining(scene: Scene, urgent: Company, others: list[Company], port: int) -> list[float]:
    service.clear()
    for other in others:
        campaign.fill(other, campaign.MAIL, scene.scale.bulk // len(others))
    scene.smtp.reset()
    for other in others:
        service.start_draining(other, "bulk")
    scene.smtp.wait(1, seconds=20)
    delays = _delays(scene, urgent, port, scene.scale.critical_seconds, reset=False)
    left = sum(service.statuses(other).get("pending", 0) for other in others)
    if not left and scene.scale.name != "tiny":
        raise BenchmarkFailed("S4: the campaign ended before the critical messages did; it needs more rows")
    service.clear()  # what is left of the campaign
    time.sleep(1.0)
    return delays


def _delays(scene: Scene, who: Company, port: int, seconds: float, *, reset: bool = True) -> list[float]:
    """Post critical messages on a schedule; return the seconds from each POST to its arrival at the sink."""
    if reset:
        scene.smtp.reset()
    headers = {"X-API-Key": who.key, "X-API-Secret": who.secret}
    report = generate(Load(port, PATH, _BODY, headers, seconds=seconds, every=_EVERY, trace=True))
    deadline = time.monotonic() + 20
    while None in (arrived := scene.smtp.times(list(report.started))).values():
        if time.monotonic() > deadline:
            missing = sum(moment is None for moment in arrived.values())
            raise BenchmarkFailed(f"S4: {missing} of {len(arrived)} critical messages did not arrive")
        time.sleep(0.05)
    if len(arrived) != report.accepted:
        raise BenchmarkFailed(f"S4: {report.accepted} were accepted, {len(arrived)} ids were seen")
    return [moment - report.started[name] for name, moment in arrived.items() if moment is not None]
