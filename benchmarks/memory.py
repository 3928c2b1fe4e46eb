"""M1: the memory of a worker process after so many sends, and after ten times as many."""

from __future__ import annotations

import psutil  # type: ignore[import-untyped]

from benchmarks import campaign, service
from benchmarks.meter import Meter
from benchmarks.results import Result
from benchmarks.scene import Scene
from benchmarks.stage import BenchmarkFailed, Program

TARGET = "flat (<= 1.1x)"
_LIMIT = 1.1


def run(scene: Scene) -> Result:
    """Send through one process, and look twice."""
    count = scene.scale.memory
    who = service.company("rememberers", {"email": service.smtp_credential(scene.smtp.port)})
    service.release_workers(scene)
    worker = service.start_worker(scene.stage, concurrency=1).wait()
    meter = Meter(scene.stage, [worker])
    try:
        campaign.send_ours(meter, who, campaign.MAIL, scene.smtp, count)
        first = _resident(worker)
        for _ in range(9):
            campaign.send_ours(meter, who, campaign.MAIL, scene.smtp, count)
        second = _resident(worker)
    finally:
        worker.stop()
        service.clear()
    ratio = second / first
    return Result(
        "M1",
        f"{second / 2**20:.1f} MB after {count * 10:,} sends",
        f"{first / 2**20:.1f} MB after {count:,}",
        ratio,
        TARGET,
        ratio <= _LIMIT,
        {"sends": [count, count * 10], "rss_bytes": [first, second]},
    )


def _resident(worker: Program) -> int:
    children = psutil.Process(worker.process.pid).children()
    if len(children) != 1:
        raise BenchmarkFailed(f"M1: the worker has {len(children)} pool processes instead of one")
    return int(children[0].memory_info().rss)
