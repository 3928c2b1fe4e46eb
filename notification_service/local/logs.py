"""One terminal and one file a service: what the children print, line by line."""

from __future__ import annotations

import logging
import os
import sys
import threading
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, TextIO

_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)  # ANSI; no red, which reads as an error
_MAX_BYTES = 10 * 1024 * 1024


class LogSink:
    """Prints lines with the name of their service in front, and keeps them in ``directory/<name>.log``.

    The files are rotated at 10 MB. Colours only where ``stream`` is a terminal and ``NO_COLOR`` is not set.
    """

    def __init__(self, directory: Path, names: list[str], stream: TextIO = sys.stdout) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._stream = stream
        self._width = max(map(len, names), default=0)
        self._coloured = stream.isatty() and "NO_COLOR" not in os.environ
        self._colours = {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(names)}
        self._files = {name: _log_file(self.path(name)) for name in names}
        self._lock = threading.Lock()

    def path(self, name: str) -> Path:
        """The file that keeps the lines of ``name``."""
        return self.directory / f"{name}.log"

    def line(self, name: str, text: str) -> None:
        """Write one line (from any thread)."""
        prefix = f"{name:<{self._width}} │"
        if self._coloured:
            prefix = f"\x1b[{self._colours.get(name, 0)}m{prefix}\x1b[0m"
        with self._lock:
            if file := self._files.get(name):
                file.emit(logging.makeLogRecord({"msg": text}))
            self._print(f"{prefix} {text}")

    def text(self, text: str) -> None:
        """Print text of the supervisor's own as it is."""
        with self._lock:
            self._print(text)

    def follow(self, name: str, output: IO[bytes]) -> threading.Thread:
        """Pass on everything that ``output`` delivers, until it ends."""
        thread = threading.Thread(target=self._follow, args=(name, output), name=f"log-{name}", daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            for file in self._files.values():
                file.close()

    def _follow(self, name: str, output: IO[bytes]) -> None:
        with output:
            for line in output:
                self.line(name, line.decode("utf-8", "replace").rstrip())

    def _print(self, text: str) -> None:
        with suppress(OSError, ValueError):  # nobody reads any more: `make up | head`
            self._stream.write(text + "\n")
            self._stream.flush()


def _log_file(path: Path) -> RotatingFileHandler:
    handler = RotatingFileHandler(path, maxBytes=_MAX_BYTES, backupCount=1, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(message)s"))
    return handler
