"""The network guard for libraries that open their own sockets.

Inside ``with SocketGuard(...)`` every connection is judged by the very address that is being connected to, through an
audit hook (PEP 578): neither a redirect, nor a name that resolves differently the second time, nor a spelling of an
address gets round it. The guard belongs to the context (PEP 567): it goes along where a library hands its context to
other threads, and nobody else notices it. Works for sockets of the standard library.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import sys
import threading
from contextvars import ContextVar, Token
from functools import cache
from typing import Any

from notification_service.lib.net import BlockedAddress, NetworkPolicy

_guard: ContextVar[SocketGuard | None] = ContextVar("socket_guard", default=None)


class SocketGuard:
    """Judges the connections of one context, and can cut them from another.

    With ``clear_text`` only explicitly allowed networks may be reached. ``blocked`` tells that a connection was
    refused, ``attempted`` that one was allowed: from then on the other side may have heard something.
    """

    def __init__(self, policy: NetworkPolicy, *, clear_text: bool = False) -> None:
        self.clear_text = clear_text
        self._policy = policy
        self._copies: list[socket.socket] = []
        self._lock = threading.Lock()
        self._cut = False
        self._token: Token[SocketGuard | None]
        self.blocked = False
        self.attempted = False

    def __enter__(self) -> SocketGuard:
        _install()
        self._token = _guard.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _guard.reset(self._token)
        self.cut()
        with self._lock:
            for copy in self._copies:
                copy.close()
            self._copies.clear()

    def cut(self) -> None:
        """End every connection that is open, and every later one, so that a thread that waits for one goes on."""
        with self._lock:
            self._cut = True
            for copy in self._copies:
                with contextlib.suppress(OSError):
                    copy.shutdown(socket.SHUT_RDWR)

    def judge(self, connection: socket.socket, address: Any) -> None:
        """Called before each connection. Raises ``BlockedAddress``, or ``TimeoutError`` once it was cut."""
        host = str(address[0]) if isinstance(address, tuple) else "a local socket"
        if not self._permits(host):
            self.blocked = True
            raise BlockedAddress(host)
        with self._lock:
            if self._cut:
                raise TimeoutError("the time is up")
            self._copies.append(connection.dup())  # TLS takes the original away; what is done to a copy is done to both
        self.attempted = True

    def _permits(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return self._policy.permits(address, clear_text=self.clear_text)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and (guard := _guard.get()) is not None:
        guard.judge(*arguments)


@cache
def _install() -> None:
    sys.addaudithook(_hook)  # for the life of the process: there is no way to take one out
