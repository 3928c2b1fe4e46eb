"""The program as a whole: starting, refusing, stopping, keeping."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from sandbox import vendors
from sandbox.app import create_app
from sandbox.store import Store
from tests.sandbox.conftest import ROOT, Sandbox, mail


def run(data_dir: Path, *more: str, debug: str | None = "true") -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "DEBUG"}
    if debug is not None:
        environment["DEBUG"] = debug
    command = [sys.executable, "-m", "sandbox", "--smtp-port", "0", "--http-port", "0", "--data-dir", str(data_dir)]
    return subprocess.run([*command, *more], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=20)


@pytest.mark.parametrize("debug", [None, "", "false", "0", "no", "off", "production"])
def test_refuses_production_mode(tmp_path: Path, debug: str | None) -> None:
    ended = run(tmp_path / "data", debug=debug)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert len(ended.stderr.splitlines()) == 1
    assert "DEBUG" in ended.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("number", "waiting"), [(signal.SIGTERM, False), (signal.SIGINT, True)])
def test_stops_cleanly(tmp_path: Path, number: int, waiting: bool) -> None:
    program = Sandbox(tmp_path)
    with program.connect() as wire:
        if waiting:
            wire.write(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<slow+60@example.com>\r\nDATA\r\n")
            assert wire.replies(4)[-1] == "354"
            wire.write(b"Subject: x\r\n\r\n.\r\n")
        code, logged = program.stop(number)
        assert wire.replies(2) == ["421"]
    assert code == 0
    assert [line["event"] for line in logged] == ["stopped"]


def test_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    first = Sandbox(tmp_path / "one")
    ended = run(tmp_path / "two", "--smtp-port", str(first.smtp_port))
    first.stop()
    assert ended.returncode == 1
    assert len(ended.stdout.splitlines()) == 1
    assert str(first.smtp_port) in ended.stdout


def test_restart_keeps_messages(tmp_path: Path) -> None:
    first = Sandbox(tmp_path)
    first.send("ada@example.com", login="acme")
    before = first.messages()
    first.stop()
    second = Sandbox(tmp_path)
    assert second.messages() == before
    second.send("bob@example.com")
    assert [m["to"] for m in second.messages()] == ["bob@example.com", "ada@example.com"]
    second.stop()


def test_messages_survive_a_killed_program(tmp_path: Path) -> None:
    first = Sandbox(tmp_path)
    first.send("ada@example.com")
    time.sleep(0.5)  # well beyond the moment within which writes gather
    first.stop(signal.SIGKILL)
    second = Sandbox(tmp_path)
    assert [m["to"] for m in second.messages()] == ["ada@example.com"]
    second.stop()


def test_oldest_go_beyond_the_limit(tmp_path: Path) -> None:
    program = Sandbox(tmp_path, "--keep", "10")
    with program.client() as client:
        for number in range(25):
            client.send_message(mail("ada@example.com", subject=str(number)))
    answer = program.request("/api/messages").json()
    program.stop()
    assert answer["total"] == 10
    assert [m["subject"] for m in answer["messages"]] == [str(n) for n in range(24, 14, -1)]
    with sqlite3.connect(tmp_path / "messages.sqlite3") as database:
        assert database.execute("SELECT count(*) FROM bodies").fetchone() == (10,)


VENDOR = """
from aiohttp import web
from sandbox.api import STORE

routes = web.RouteTableDef()

@routes.post("/acme-sms/send")
async def send(request):
    form = await request.post()
    (message_id,) = request.app[STORE].add(
        channel="sms", tenant="acme", to=[form["to"]], sender="Acme", raw=await request.read(),
        text=form["text"], headers={"X-Request": ["a", "b"]},
    )
    return web.json_response({"id": message_id})
"""


def test_a_vendor_end_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme_sms.py").write_text(VENDOR)
    monkeypatch.setattr(vendors, "__path__", [*vendors.__path__, str(tmp_path)])

    async def send_and_list() -> tuple[Any, Any]:
        store = Store(tmp_path / "data")
        async with TestClient(TestServer(create_app(store, smtp_address="127.0.0.1:25"))) as client:
            sent = await (await client.post("/acme-sms/send", data={"to": "+15551234567", "text": "Hi"})).json()
            query = {"channel": "sms", "to": "+15551234567"}
            listed = await (await client.get("/api/messages", params=query)).json()
        store.close()
        return sent, listed

    sent, listed = asyncio.run(send_and_list())
    sys.modules.pop("sandbox.vendors.acme_sms")
    (message,) = listed["messages"]
    assert message["id"] == sent["id"]
    assert (message["text"], message["html"], message["subject"]) == ("Hi", "", "")
    assert message["headers"] == {"X-Request": ["a", "b"]}
    assert message["raw"] == "to=%2B15551234567&text=Hi"


def test_stands_alone() -> None:
    code = "import sys, sandbox.__main__; print([n for n in ('django', 'notification_service') if n in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert ended.stdout == "[]\n"
