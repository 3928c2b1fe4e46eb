"""The embedded Redis: closed to others, whole after a kill."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import psutil
import pytest
import redis

from notification_service.local.ports import free_ports
from notification_service.local.redis import EmbeddedRedis, find_redis_server
from notification_service.local.server import ServerFailed


@pytest.fixture
def server(tmp_path: Path) -> EmbeddedRedis:
    return EmbeddedRedis(tmp_path / "with space" / "redis", free_ports(1)[0])


def process_of(server: EmbeddedRedis) -> psutil.Process:
    with redis.Redis.from_url(server.url) as client:
        return psutil.Process(client.info("server")["process_id"])


def test_nobody_gets_in_without_the_password(server: EmbeddedRedis) -> None:
    with server.running():
        for url in (f"redis://127.0.0.1:{server.port}/0", f"redis://:wrong@127.0.0.1:{server.port}/0"):
            with redis.Redis.from_url(url) as client, pytest.raises(redis.AuthenticationError):
                client.get("a")
        process = process_of(server)
        listening = {c.laddr.ip for c in process.net_connections() if c.status == psutil.CONN_LISTEN}
        assert listening == {"127.0.0.1"}
        password = (server.directory / "password").read_text().strip()
        assert password not in " ".join(process.cmdline())
    for name in ("password", "redis.conf"):
        assert (server.directory / name).stat().st_mode & 0o777 == 0o600


def test_data_survives_a_kill(server: EmbeddedRedis) -> None:
    with server.running():
        with redis.Redis.from_url(server.url) as client:
            client.set("kept", "7")
            assert client.config_get("appendonly") == {"appendonly": "yes"}
            assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
            deadline = time.monotonic() + 5  # it writes to the file before it answers; only the sync may come later
            while client.info("persistence")["aof_pending_bio_fsync"] and time.monotonic() < deadline:
                time.sleep(0.05)
        process = process_of(server)
        process.send_signal(signal.SIGKILL)
        process.wait(5)
    with server.running(), redis.Redis.from_url(server.url) as client:
        assert client.get("kept") == b"7"


def test_an_own_binary_is_preferred_and_must_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: EmbeddedRedis
) -> None:
    found = find_redis_server()
    link = tmp_path / "my-server"
    link.symlink_to(found)
    monkeypatch.setenv("VALKEY_SERVER", str(link))
    assert find_redis_server() == link
    with server.running():
        assert server.ready()
    monkeypatch.setenv("VALKEY_SERVER", str(tmp_path / "missing"))
    with pytest.raises(ServerFailed, match="VALKEY_SERVER"):
        find_redis_server()
