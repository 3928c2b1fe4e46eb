"""The real program as a child process, on free ports, in a directory of its own."""

from __future__ import annotations

import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Response:
    """An HTTP answer."""

    status: int
    headers: Any
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Sandbox:
    """A running sandbox; ``stop`` ends it."""

    def __init__(self, data_dir: Path, *more: str) -> None:
        command = [sys.executable, "-m", "sandbox", "--smtp-port", "0", "--http-port", "0", "--data-dir", str(data_dir)]
        self.process = subprocess.Popen(
            [*command, *more],
            cwd=ROOT,
            env={**os.environ, "DEBUG": "true"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        try:
            started = json.loads(line)
        except ValueError:
            self.process.kill()
            raise AssertionError(f"the sandbox did not start: {line}{self.process.stdout.read()}") from None
        self.smtp_port: int = started["smtp_port"]
        self.url = f"http://127.0.0.1:{started['http_port']}"

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, list[dict[str, Any]]]:
        """Stop the program; returns its exit code and what it logged since the start."""
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=15)
        return self.process.returncode, [json.loads(line) for line in output.splitlines()]

    def request(self, path: str, method: str = "GET", **query: Any) -> Response:
        url = f"{self.url}{path}?{urlencode(query)}" if query else self.url + path
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=15) as answer:
                return Response(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as problem:
            return Response(problem.code, problem.headers, problem.read())

    def messages(self, **query: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.request("/api/messages", **query).json()["messages"]
        return found

    def client(self) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=15)

    def send(self, *to: str, subject: str = "Hello", login: str = "", **parts: str) -> None:
        """Send one mail in a connection of its own."""
        with self.client() as client:
            if login:
                client.login(login, "secret")
            client.send_message(mail(*to, subject=subject, **parts), from_addr="app@acme.example", to_addrs=list(to))

    def connect(self) -> Wire:
        return Wire(self.smtp_port)


class Wire:
    """A raw SMTP connection, for what a polite client would not do."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.reader = self.socket.makefile("rb")
        assert self.replies(1) == ["220"]

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.reader.close()
        self.socket.close()

    def write(self, data: bytes) -> None:
        self.socket.sendall(data)

    def lines(self) -> list[str]:
        """Read one reply, all its lines; empty when the server closed the connection."""
        lines: list[str] = []
        while line := self.reader.readline():
            lines.append(line.decode().rstrip())
            if line[3:4] != b"-":
                break
        return lines

    def replies(self, count: int) -> list[str]:
        """Read ``count`` replies and return their codes; fewer when the server closed the connection."""
        return [lines[-1][:3] for _ in range(count) if (lines := self.lines())]


def mail(*to: str, subject: str = "Hello", text: str = "Hello there", html: str = "") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Acme <app@acme.example>"
    message["To"] = ", ".join(to)
    message["Subject"] = subject
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    return message


def wait_until(condition: Any, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One program for a module; clean tests use ``sandbox``."""
    program = Sandbox(tmp_path_factory.mktemp("sandbox"))
    yield program
    code, _ = program.stop()
    assert code == 0


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    """The module's program with no message in it."""
    running.request("/api/messages", "DELETE")
    return running
