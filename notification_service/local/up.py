"""What ``make up``, ``make down`` and ``make reset`` do."""

from __future__ import annotations

import shutil
import sys
from contextlib import suppress
from pathlib import Path

from notification_service.local.control import (
    AlreadyRunning,
    NotRunning,
    RequestRefused,
    ask,
    exclusive,
    listening,
    wait_for_end,
)
from notification_service.local.environment import InvalidPort, LocalSetup, local_setup
from notification_service.local.logs import LogSink
from notification_service.local.panel import panel
from notification_service.local.ports import is_free
from notification_service.local.postgres import EmbeddedPostgres
from notification_service.local.processes import stop_leftovers
from notification_service.local.services import local_services
from notification_service.local.supervisor import StartFailed, Supervisor

_KEPT_BY_RESET = {"test", "up.lock"}


class UpFailed(RuntimeError):
    """It can not be done; the message is one line for the user."""


def up(root: Path) -> None:
    """Run everything until Ctrl-C; if it runs already, say so and print the panel. Raises ``UpFailed``."""
    local = root / ".local"
    try:
        with exclusive(local):
            stop_leftovers(local)
            setup = local_setup(root, rechoose_ports=True)
            if not is_free(setup.port):
                way_out = f"free it or run: PORT={setup.port + 1} make up"
                raise UpFailed(f"Port {setup.port} is taken; {way_out}")
            _supervise(setup)
    except AlreadyRunning:
        _say_that_it_runs(local)
    except (StartFailed, InvalidPort) as error:
        raise UpFailed(str(error)) from error


def _supervise(setup: LocalSetup) -> None:
    services = local_services(setup)
    log = LogSink(setup.local / "logs", [service.name for service in services])
    demo = setup.local / "demo.json"
    supervisor = Supervisor(services, owner=setup.local, log=log, on_ready=lambda: log.text(panel(demo)))
    try:
        with listening(setup.local, supervisor.requests):
            supervisor.run()
    finally:
        log.close()


def _say_that_it_runs(local: Path) -> None:
    sys.stdout.write("It is already running here (make status, make logs, make down).\n")
    with suppress(OSError, ValueError, KeyError):  # it may still be starting
        sys.stdout.write(panel(local / "demo.json"))


def down(root: Path) -> str:
    """Stop what runs from this checkout, or what is left of it; return what was done. Raises ``UpFailed``."""
    local = root / ".local"
    try:
        ask(local, "down")
    except NotRunning:
        with suppress(AlreadyRunning), exclusive(local):
            return "stopped what was left" if stop_leftovers(local) else "nothing was running"
    except RequestRefused as error:
        raise UpFailed(str(error)) from error
    if not wait_for_end(local):
        raise UpFailed("it does not stop; see: make status")
    return "stopped"


def reset(root: Path) -> str:
    """Stop everything and delete all local data of this checkout; return what was done. Raises ``UpFailed``."""
    done = down(root)
    local = root / ".local"
    try:
        with exclusive(local):
            EmbeddedPostgres(local / "postgres", 0).destroy()  # its data may be elsewhere
            for path in local.iterdir():
                if path.name in _KEPT_BY_RESET:
                    continue
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
    except AlreadyRunning:
        raise UpFailed("it is starting just now; try again") from None
    return f"{done}; deleted all data in {local}"
