"""Child processes that never outlive their parent, and what is left of them when it was killed."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil  # type: ignore[import-untyped]

# In the environment of every child: the directory that it works for. It finds them again when their parent is gone.
OWNER_VARIABLE = "NOTIFICATION_SERVICE_OWNER"
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class RunAs:
    """An unprivileged user that a root parent starts a child as."""

    uid: int
    gid: int


def start_process(
    command: Sequence[str],
    *,
    owner: Path,
    environment: Mapping[str, str],
    directory: Path | None = None,
    run_as: RunAs | None = None,
    output: int | IO[bytes] = subprocess.DEVNULL,
    death_signal: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start ``command`` in a session of its own; stdout and stderr go to ``output``.

    On Linux the kernel sends the child ``death_signal`` when the *thread* that called this ends, whatever killed it:
    call it from a thread that lives as long as the parent. Elsewhere ``stop_leftovers`` cleans up at the next start.
    Raises ``OSError`` if the command can not be run.
    """
    return subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=directory,
        env={**environment, OWNER_VARIABLE: str(owner.absolute())},
        start_new_session=True,  # Ctrl-C in the terminal reaches the parent alone, which stops the rest in order
        # The kernel forgets the signal when a process changes its user, so this has to run after that: it does.
        preexec_fn=_die_with_parent(death_signal),
        user=run_as.uid if run_as else None,
        group=run_as.gid if run_as else None,
        extra_groups=[] if run_as else None,
    )


def run_process(
    command: Sequence[str], *, environment: Mapping[str, str], run_as: RunAs | None = None, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run ``command`` to its end, with ``text`` as its input; it may fail. Raises ``subprocess.TimeoutExpired``."""
    return subprocess.run(
        list(command),
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd="/",
        env=dict(environment),
        user=run_as.uid if run_as else None,
        group=run_as.gid if run_as else None,
        extra_groups=[] if run_as else None,
    )


def _die_with_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl  # loaded here: the child between fork and exec must not load anything
    parent = os.getpid()
    number = int(death_signal)

    def set_death_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # the parent died before the line above
            os._exit(1)

    return set_death_signal


def stop_process(process: subprocess.Popen[bytes], *, stop_signal: signal.Signals, timeout: float) -> int:
    """Ask the process to stop, kill its whole session after ``timeout`` seconds; return its exit code."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            process.send_signal(stop_signal)
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        return kill_process(process)


def kill_process(process: subprocess.Popen[bytes]) -> int:
    """Kill the process and everything else in its session; return its exit code."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def has_members(process: subprocess.Popen[bytes]) -> bool:
    """Whether anything runs in the session of a process that was started here, itself or what it started."""
    try:
        os.killpg(process.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def leftovers(owner: Path) -> list[psutil.Process]:
    """Return the running processes that were started for ``owner``, by this parent or an earlier one."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(OWNER_VARIABLE) == str(owner.absolute()):
                found.append(process)
    return found


def stop_leftovers(owner: Path, *, timeout: float = 5.0) -> int:
    """End what an earlier parent left behind for ``owner`` (it was killed); return how many processes that were."""
    processes = leftovers(owner)
    for process in processes:
        with suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=timeout)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=timeout)
    return len(processes)
