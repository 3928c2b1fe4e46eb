"""Health check of a container: exits with 0 if the role named (web, worker, beat, consumer, flower) works.

No Django: a check every few seconds should cost little.
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time

import redis

_SILENCE_SECONDS = 30


def web() -> bool:
    """The process answers; that its servers do too is the business of /api/notifications/health/."""
    host = os.environ.get("ALLOWED_HOSTS", "localhost").split(",")[0].strip().lstrip(".")
    return _get(int(os.environ.get("PORT", "3001")), "/health", host)


def flower() -> bool:
    return _get(5556, "/healthcheck", "localhost")


def worker() -> bool:
    """This container's worker answers through the broker."""
    celery = [sys.executable, "-m", "celery", "-A", "notification_service"]
    ping = [*celery, "inspect", "ping", "--timeout=5", f"--destination=worker@{os.uname().nodename}"]
    return subprocess.run(ping, stdout=subprocess.DEVNULL, check=False).returncode == 0


def beat() -> bool:
    """Beat was heard of lately (it says so in Redis at every tick)."""
    return _heard_of("beat")


def _heard_of(part: str) -> bool:
    with redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=5, socket_connect_timeout=5) as client:
        try:
            heard = client.get(f"heartbeat:{part}")
        except redis.RedisError:
            return False
    return isinstance(heard, bytes) and time.time() - float(heard) < _SILENCE_SECONDS


def consumer() -> bool:
    """A consumer was heard of lately (it says so in Redis every second)."""
    return _heard_of("consumer")


def _get(port: int, path: str, host: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": host})
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    checks = {"web": web, "worker": worker, "beat": beat, "consumer": consumer, "flower": flower}
    sys.exit(0 if checks[sys.argv[1] if len(sys.argv) > 1 else "web"]() else 1)
