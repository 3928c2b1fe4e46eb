"""S3: S1 while workers are killed (SIGKILL) at random points: nothing lost, every record has its end.

Killed is the pool process that is busiest; in the full run every third time the whole worker. Leases are short here
(two seconds) so that the benchmark is; how many duplicates a kill can cause does not depend on them.
"""

from __future__ import annotations

import random
import time
from contextlib import suppress
from dataclasses import dataclass, field

import psutil  # type: ignore[import-untyped]

from benchmarks import campaign, service
from benchmarks.results import Result
from benchmarks.scene import Scene
from benchmarks.stage import Program
from notifications.providers.smtp import SmtpProvider
from notifications.providers.smtp_chunks import MOST_MESSAGES
from notifications.records.engine import FLUSH_ROWS

TARGET = "lost 0, dup <= window"
_SETTINGS = {"LEASE_SECONDS": "2", "SWEEP_SECONDS": "1"}
#: Seconds that the sink takes for a message, so that there is time to be killed in.
_DELAY = 0.004
#: What may go out twice after a kill: answers that were not written down, and what was on its way.
_WINDOW = FLUSH_ROWS + SmtpProvider.concurrency * MOST_MESSAGES
_FINAL = {"success", "failed", "cancelled", "suppressed"}


@dataclass(slots=True)
class _Killer:
    scene: Scene
    worker: Program
    kills: list[str] = field(default_factory=list)

    def kill(self, *, whole: bool) -> None:
        parent = psutil.Process(self.worker.process.pid)
        if whole:
            self.kills.append("worker")
            for process in (*parent.children(recursive=True), parent):
                with suppress(psutil.Error):
                    process.kill()
            self.worker.process.wait()
            self.worker = service.start_worker(self.scene.stage, _SETTINGS)
            return
        if busiest := self._busiest(parent):
            self.kills.append("pool process")
            busiest.kill()

    @staticmethod
    def _busiest(parent: psutil.Process) -> psutil.Process | None:
        """The pool process that used the processor most during a twentieth of a second."""
        before = {child: _used(child) for child in parent.children()}
        time.sleep(0.05)
        return max(before, key=lambda child: _used(child) - before[child], default=None)


def run(scene: Scene) -> Result:
    """Send, kill, and count."""
    count, kills = scene.scale.killed_mails, scene.scale.kills
    who = service.company("survivors", {"email": service.smtp_credential(scene.smtp.port)})
    service.release_workers(scene)  # another worker would do the work of one that was killed
    service.clear()
    campaign.fill(who, campaign.MAIL, count)
    scene.smtp.reset()
    scene.smtp.fault(delay=_DELAY)
    killer = _Killer(scene, service.start_worker(scene.stage, _SETTINGS).wait())
    started = time.monotonic()
    service.start_draining(who, "bulk")
    beat = service.start_beat(scene.stage, _SETTINGS)  # not before: its sweeper would start the draining
    try:
        points = sorted(random.uniform(0.02, 0.8) for _ in range(kills))  # noqa: S311 - no secret
        for number, point in enumerate(points, start=1):
            scene.smtp.wait(int(point * count), seconds=180)
            killer.kill(whole=scene.scale.is_full and number % 3 == 0)
        found = _wait_for_ends(count, seconds=240)
        took = time.monotonic() - started
    finally:
        killer.worker.stop()
        beat.stop()
        scene.smtp.fault()
    stats = scene.smtp.stats()
    lost = count - stats.distinct
    final = sum(number for status, number in found.items() if status in _FINAL)
    window = kills * _WINDOW
    service.clear()
    return Result(
        "S3",
        f"lost {lost}, duplicates {stats.duplicates} of {count:,}, {kills} kills",
        f"window {window}",
        None,
        TARGET,
        lost == 0 and final == count == found.get("success", 0) and stats.duplicates <= window,
        {
            "messages": count,
            "lost": lost,
            "duplicates": stats.duplicates,
            "window": window,
            "window_rows_per_kill": _WINDOW,
            "kills": killer.kills,
            "statuses": found,
            "final": final,
            "seconds": round(took, 1),
        },
    )


def _wait_for_ends(count: int, *, seconds: float) -> dict[str, int]:
    """Wait until every record has its end, or the time is over; return how many have which status."""
    deadline = time.monotonic() + seconds
    while True:
        found = service.statuses()
        if sum(found.get(status, 0) for status in _FINAL) >= count or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def _used(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
