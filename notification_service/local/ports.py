"""TCP ports of the loopback interface: which are free, and who wants which."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"


class PortTaken(RuntimeError):
    """Another process listens on the port; ``port`` says which."""

    def __init__(self, port: int) -> None:
        self.port = port
        super().__init__(f"port {port} of {LOOPBACK} is taken")


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Return whether a server could listen on ``host:port`` now (connections that linger do not count)."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((host, port))
            candidate.listen(1)
        except OSError:
            return False
    return True


def require_free(port: int) -> None:
    """Raise ``PortTaken`` if another process listens on the port."""
    if not is_free(port):
        raise PortTaken(port)


def free_ports(count: int) -> list[int]:
    """Return ``count`` different ports that nobody listens on, chosen by the operating system."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
