"""Runs the sandbox: ``python -m sandbox --smtp-port 2525 --http-port 8025 --data-dir .local/sandbox``."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from sandbox.app import create_app
from sandbox.smtp import Server
from sandbox.store import DEFAULT_KEEP, Store

_TRUE = {"1", "true", "yes", "on"}
_FAILED, _REFUSED = 1, 2


class _JsonLines(logging.Formatter):
    """One JSON object per record and line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **record.__dict__.get("fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


log = logging.getLogger("sandbox")


def _configure_logs() -> None:
    output = logging.StreamHandler(sys.stdout)
    output.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.ERROR, handlers=[output])
    log.setLevel(logging.INFO)


def _number(lowest: int, highest: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not (value.isascii() and value.isdigit() and len(value) < 12 and lowest <= int(value) <= highest):
            raise argparse.ArgumentTypeError(f"must be a whole number from {lowest} to {highest}")
        return int(value)

    return parse


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sandbox", description="Pretend providers for development and tests.")
    port = _number(0, 65_535)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--smtp-port", type=port, default=2525, help="0 picks a free one (default: %(default)s)")
    parser.add_argument("--http-port", type=port, default=8025, help="0 picks a free one (default: %(default)s)")
    parser.add_argument("--data-dir", type=Path, required=True, help="where caught messages are kept")
    parser.add_argument(
        "--keep",
        type=_number(1, 10**9),
        default=DEFAULT_KEEP,
        help="messages kept before the oldest go (default: %(default)s)",
    )
    return parser.parse_args(argv)


async def serve(arguments: argparse.Namespace) -> None:
    """Run until SIGTERM or SIGINT. Raises OSError or sqlite3.Error when ports or directory can not be used."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    store = Store(arguments.data_dir, keep=arguments.keep)
    smtp = Server(store)
    try:
        # Mail first: whoever finds the HTTP end up may rely on the other.
        smtp_port = await smtp.start(arguments.host, arguments.smtp_port)
        app = create_app(store, smtp_address=f"{arguments.host}:{smtp_port}")
        http = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await http.setup()
        try:
            await web.TCPSite(http, arguments.host, arguments.http_port).start()
            ports = {"host": arguments.host, "smtp_port": smtp_port, "http_port": http.addresses[0][1]}
            log.info("started", extra={"fields": ports})
            await stopped.wait()
        finally:
            await http.cleanup()
    finally:
        await smtp.stop()
        store.close()
    log.info("stopped")


def main(argv: list[str] | None = None) -> int:
    """Run the program; returns its exit code: 0 after a signal, 1 when it can not start, 2 in production mode."""
    arguments = _arguments(argv)
    if os.environ.get("DEBUG", "").strip().lower() not in _TRUE:
        sys.stderr.write("sandbox: not in production mode: it delivers nothing. Set DEBUG=true to run it.\n")
        return _REFUSED
    _configure_logs()
    try:
        asyncio.run(serve(arguments))
    except (OSError, sqlite3.Error) as problem:
        log.error("can not start: %s", problem)
        return _FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
