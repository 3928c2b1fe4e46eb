"""What ``make up`` runs, in which order and with which environment."""

from __future__ import annotations

import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable

from celery import Celery
from kombu.exceptions import KombuError

from notification_service.local.environment import LocalSetup
from notification_service.local.server import EmbeddedServer
from notification_service.local.supervisor import Service

_SPARE_CORES = min(max(1, (os.cpu_count() or 1) - 1), 4)
#: Workers by name: the queues that each takes from, and its processes. Bulk never stands in anybody's way: it leaves a
#: core to the others, and where cores are few it gives way to them (``WORKER_NICE``).
WORKERS = {"worker": ("critical,normal,control", 2), "worker-bulk": ("bulk", _SPARE_CORES)}
BULK_NICE = 10
#: Seconds for a killed worker's pool processes, which end what they have begun: longer than they take at the most.
_POOL_LINGERS = 30.0
#: How uvicorn serves everything. Compression costs 20 KB a socket. Neither a client that reads nothing nor a request
#: that does not end may keep it from stopping.
WEB_SERVER = (
    *("-m", "uvicorn", "notification_service.asgi:application", "--no-proxy-headers", "--no-server-header"),
    *("--no-access-log", "--timeout-graceful-shutdown=10", "--ws-max-size=65536", "--ws-per-message-deflate=false"),
    "--ws=notifications.inbox.socket.protocol:BoundedCloseProtocol",
)


def local_services(setup: LocalSetup) -> list[Service]:
    """Return the services of a development installation, each after what it needs."""
    environment = setup.environment()
    local = setup.local
    servers = [_server(server) for server in (setup.postgres, setup.redis, setup.kafka) if server]
    data = tuple(server.name for server in servers)

    def python(
        name: str,
        *arguments: str,
        needs: tuple[str, ...],
        once: bool = False,
        ready: Callable[[], bool] = lambda: True,
        settle: float = 0.0,
        nice: int = 0,
        linger: float = 0.0,
    ) -> Service:
        return Service(
            name=name,
            command=lambda: [sys.executable, *arguments],
            environment={**environment, "WORKER_NICE": str(nice)} if nice else environment,
            directory=setup.root,
            needs=needs,
            once=once,
            ready=ready,
            settle=settle,
            linger=linger,
        )

    sandbox_ports = [f"--smtp-port={setup.ports['sandbox_smtp']}", f"--http-port={setup.ports['sandbox_http']}"]
    place = ["--host=127.0.0.1", *sandbox_ports, f"--data-dir={local / 'sandbox'}"]
    beat = ["beat", "--pidfile="]
    celery = ["-m", "celery", "-A", "notification_service"]
    demo = ["manage.py", "seed_demo", f"--write={local / 'demo.json'}"]

    def sandbox_answers() -> bool:
        return answers(setup.sandbox_url) and accepts(setup.ports["sandbox_smtp"])

    def worker(name: str, queues: str, processes: int) -> Service:
        arguments = ["worker", f"--queues={queues}", f"--concurrency={processes}", f"--hostname=local@{name}"]
        return python(
            name,
            *celery,
            *arguments,
            needs=("seed", "sandbox"),
            ready=lambda: worker_answers(environment["REDIS_URL"], f"local@{name}"),
            nice=BULK_NICE if queues == "bulk" else 0,
            linger=_POOL_LINGERS,
        )

    # Without a Kafka there is nothing to read.
    consumers = (
        [python("consumer", "manage.py", "consume_events", needs=("seed", "sandbox"), settle=2.0)]
        if environment.get("KAFKA_BOOTSTRAP_SERVERS")
        else []
    )
    if environment.get("AMQP_URL"):
        reads_queues = ("manage.py", "consume_events", "--source", "amqp")
        consumers.append(python("consumer-amqp", *reads_queues, needs=("seed", "sandbox"), settle=2.0))
    return [
        *servers,
        python("sandbox", "-m", "sandbox", *place, needs=(), ready=sandbox_answers),
        python("migrate", "manage.py", "migrate_safely", needs=data, once=True),
        python("seed", *demo, needs=("migrate", "sandbox"), once=True),
        python(
            "web",
            *(*WEB_SERVER, "--host=127.0.0.1", f"--port={setup.port}"),
            needs=("seed", "sandbox"),
            ready=lambda: answers(f"{setup.base_url}/health"),
        ),
        *(worker(name, queues, processes) for name, (queues, processes) in WORKERS.items()),
        python("beat", *celery, *beat, needs=("seed", "sandbox"), settle=2.0),
        *consumers,
    ]


def _server(server: EmbeddedServer) -> Service:
    return Service(
        name=server.name,
        command=server.command,
        environment=server.environment,
        prepare=server.prepare,
        ready=server.ready,
        run_as=server.run_as,
        stop_signal=server.stop_signal,
        death_signal=server.death_signal,
    )


def answers(url: str) -> bool:
    """Return whether an HTTP server answers at ``url`` without an error of its own (status below 500)."""
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own address
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def accepts(port: int) -> bool:
    """Return whether something accepts TCP connections on the port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            return True
    except OSError:
        return False


def worker_answers(redis_url: str, hostname: str) -> bool:
    """Return whether a Celery worker answers a ping through the broker."""
    options = {"socket_timeout": 2, "socket_connect_timeout": 2}
    with Celery(broker=redis_url, set_as_current=False, broker_transport_options=options) as app:
        try:
            pongs = app.control.ping(destination=[hostname], timeout=0.5, limit=1)
        except (OSError, KombuError):  # no broker
            return False
    return bool(pongs)
