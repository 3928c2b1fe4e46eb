"""Every role of entrypoint.sh, started as it is in its container, until it works; then SIGTERM."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from notification_service.local.kafka import EmbeddedKafka
from notification_service.local.ports import free_ports
from tests.containers.conftest import ROOT, Role

Start = Callable[..., Role]

# The roles compete for few processors; in one process of the test run they take turns.
pytestmark = pytest.mark.xdist_group("containers")


def healthy(role: str, environment: dict[str, str]) -> bool:
    check = [sys.executable, str(ROOT / "docker" / "healthcheck.py"), role]
    return subprocess.run(check, env=environment, cwd=ROOT, timeout=30, check=False).returncode == 0


def tables(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert row
    return int(row[0])


def test_two_migrations_at_once_both_succeed(start: Start, environment: dict[str, str]) -> None:
    first, second = start("migrate"), start("migrate")
    assert first.end(90) == 0, first.output
    assert second.end(90) == 0, second.output
    assert tables(environment["DATABASE_URL"]) > 10
    assert "No migrations to apply" in first.output + second.output


def test_web_migrates_answers_and_stops(start: Start, environment: dict[str, str]) -> None:
    port = str(free_ports(1)[0])
    role = start("web", PORT=port, MIGRATE_ON_START="true")
    role.wait_for(lambda: healthy("web", {**environment, "PORT": port}))
    assert tables(environment["DATABASE_URL"]) > 10
    assert not healthy("web", {**environment, "PORT": port, "ALLOWED_HOSTS": "somebody.else"})
    # uvicorn shuts down in order and then ends by the signal that it got, so that its parent sees why.
    assert role.stop() in (0, -15)
    assert "Application shutdown complete" in role.output


def test_web_does_not_migrate_unless_told_to(start: Start, environment: dict[str, str]) -> None:
    port = str(free_ports(1)[0])
    role = start("web", PORT=port)
    role.wait_for(lambda: "Application startup complete" in role.output)
    assert tables(environment["DATABASE_URL"]) == 0


def test_web_refuses_missing_secrets_by_name(start: Start) -> None:
    role = start("web", PORT=str(free_ports(1)[0]), DJANGO_SECRET_KEY="")
    assert role.end(40) != 0
    assert "DJANGO_SECRET_KEY is not set" in role.output


def test_worker_answers_and_stops(start: Start, environment: dict[str, str]) -> None:
    assert start("migrate").end(90) == 0
    role = start("worker", WORKER_CONCURRENCY="1")
    role.wait_for(lambda: healthy("worker", environment))
    assert role.stop() == 0, role.output


def test_beat_ticks_and_stops(start: Start, environment: dict[str, str]) -> None:
    assert start("migrate").end(90) == 0
    role = start("beat")
    role.wait_for(lambda: healthy("beat", environment))
    assert role.stop() == 0, role.output


def test_flower_asks_for_a_password_and_stops(start: Start, environment: dict[str, str]) -> None:
    port = free_ports(1)[0]
    role = start("flower", PORT=str(port), FLOWER_BASIC_AUTH="ada:analytical")

    def status(path: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    role.wait_for(lambda: status("/healthcheck") == 200)
    assert status("/workers") == 401
    assert role.stop() == 0, role.output


def test_flower_does_not_start_open(start: Start) -> None:
    role = start("flower")
    assert role.end() != 0
    assert "FLOWER_BASIC_AUTH" in role.output


def test_consumer_reads_and_stops(start: Start, environment: dict[str, str], tmp_path: Path) -> None:
    assert start("migrate").end(90) == 0
    with EmbeddedKafka(tmp_path / "kafka", free_ports(1)[0]).running() as kafka:
        role = start("consumer", KAFKA_BOOTSTRAP_SERVERS=kafka.url)
        role.wait_for(lambda: healthy("consumer", environment))
        assert role.stop() == 0, role.output
    assert "consumer_stopped" in role.output


def test_consumer_says_that_there_is_no_kafka(start: Start) -> None:
    role = start("consumer")
    assert role.end() != 0
    assert "KAFKA_BOOTSTRAP_SERVERS" in role.output


def test_other_commands_pass_through(start: Start) -> None:
    role = start("python", "-c", "import sys; print(sys.argv[1]); sys.exit(7)", "two words")
    assert role.end() == 7
    assert role.output == "two words\n"


def test_a_database_that_does_not_answer_is_given_up_on(start: Start, environment: dict[str, str]) -> None:
    url = urlsplit(environment["DATABASE_URL"])
    closed = free_ports(1)[0]
    nowhere = url._replace(netloc=f"notifications:hidden-password@127.0.0.1:{closed}").geturl()
    role = start("worker", DATABASE_URL=nowhere, WAIT_FOR_DATABASE_SECONDS="1")
    assert role.end(40) != 0
    assert "no database after 1 s" in role.output
    assert str(closed) in role.output
    assert "hidden-password" not in role.output
    assert "Traceback" not in role.output


def test_what_the_image_holds_is_enough(environment: dict[str, str], tmp_path: Path) -> None:
    """Without the parts that .dockerignore leaves out, the applications load and static files are collected."""
    image = tmp_path / "app"
    image.mkdir()
    names = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in names:
        subprocess.run(["cp", "-R", str(ROOT / name), str(image / name)], check=True)
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        left_out = image / line
        if not line.startswith(("!", "*")) and left_out.exists():
            subprocess.run(["rm", "-r", str(left_out)], check=True)
    build = {"PATH": environment["PATH"], "DJANGO_SECRET_KEY": "only-for-this-build", "LOG_DIR": str(tmp_path)}
    collect = [sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity=0"]
    done = subprocess.run(collect, cwd=image, env=build, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert (image / "staticfiles" / "admin").is_dir()
    check = [sys.executable, "manage.py", "check"]
    done = subprocess.run(check, cwd=image, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
