"""A Kafka for one machine: the mock cluster inside librdkafka, which comes with confluent-kafka.

It speaks the real protocol with one broker and keeps what it has in memory: about 5 MB a partition, the oldest dropped
without a word. Good for development and tests; a real one is asked for with ``KAFKA_BOOTSTRAP_SERVERS``.

``python -m notification_service.local.kafka PORT TOPIC:PARTITIONS…`` runs it in the foreground. Its own port can not be
chosen, so that a proxy on ``PORT`` stands before it.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import confluent_kafka
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from notification_service.local.ports import LOOPBACK
from notification_service.local.server import EmbeddedServer, ServerFailed

_PRODUCER: Final = 0  # rd_kafka_type_t
_BROKER: Final = 1
_CHUNK: Final = 65_536
_POINTER = ctypes.c_void_p
#: What we call of librdkafka (rdkafka_mock.h): result and arguments.
_FUNCTIONS: Final[dict[str, tuple[Any, list[Any]]]] = {
    "rd_kafka_conf_new": (_POINTER, []),
    "rd_kafka_new": (_POINTER, [ctypes.c_int, _POINTER, ctypes.c_char_p, ctypes.c_size_t]),
    "rd_kafka_mock_cluster_new": (_POINTER, [_POINTER, ctypes.c_int]),
    "rd_kafka_mock_cluster_bootstraps": (ctypes.c_char_p, [_POINTER]),
    "rd_kafka_mock_topic_create": (ctypes.c_int, [_POINTER, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]),
    "rd_kafka_mock_broker_set_host_port": (ctypes.c_int, [_POINTER, ctypes.c_int32, ctypes.c_char_p, ctypes.c_int]),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [_POINTER, ctypes.c_int32]),
}


class EmbeddedKafka(EmbeddedServer):
    """The mock cluster as a process of its own. ``topics`` (name:partitions) are there at once, others at first use."""

    name = "kafka"
    topics: Sequence[str] = ("hr-events:4", "auth-events:4", "billing-events:4", "app-events:4")

    @property
    def url(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        # Unlike the other servers it is a program of ours.
        root = str(Path(__file__).resolve().parents[2])
        return {**super().environment, "PYTHONPATH": root, "PYTHONUNBUFFERED": "1"}

    def prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        _library_path()

    def command(self) -> list[str]:
        return [sys.executable, "-m", "notification_service.local.kafka", str(self.port), *self.topics]

    def ready(self) -> bool:
        client = AdminClient({"bootstrap.servers": self.url, "socket.timeout.ms": 2000, "log_level": 0})
        try:
            return bool(client.list_topics(timeout=1).brokers)
        except KafkaException:
            return False


def _library_path() -> Path:
    """Return the librdkafka of the wheel. Raises ``ServerFailed``."""
    wheel = Path(confluent_kafka.__file__).parents[1]
    places = (wheel / "confluent_kafka.libs", wheel / "confluent_kafka" / ".dylibs")
    for path in (path for place in places for path in sorted(place.glob("librdkafka*"))):
        return path
    raise ServerFailed("confluent-kafka has no librdkafka of its own here: set KAFKA_BOOTSTRAP_SERVERS")


class _Cluster:
    """The running mock cluster; it lives as long as this process."""

    def __init__(self, topics: Sequence[str]) -> None:
        self._library = ctypes.CDLL(str(_library_path()))
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(self._library, name)
            function.restype, function.argtypes = result, arguments
        error = ctypes.create_string_buffer(256)
        client = self._library.rd_kafka_new(_PRODUCER, self._library.rd_kafka_conf_new(), error, len(error))
        self._cluster = self._library.rd_kafka_mock_cluster_new(client, 1)
        if not self._cluster:
            raise ServerFailed(f"the mock cluster did not start: {error.value.decode()}")
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 100)
        for topic in topics:
            name, _, partitions = topic.partition(":")
            self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), int(partitions or 1), 1)
        host, _, port = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode().partition(":")
        self.host, self.port = host, int(port)

    def advertise(self, port: int) -> None:
        """Have clients told that the broker listens on another port."""
        self._library.rd_kafka_mock_broker_set_host_port(self._cluster, _BROKER, LOOPBACK.encode(), port)


async def _serve(cluster: _Cluster, port: int) -> None:
    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broker_reader, broker_writer = await asyncio.open_connection(cluster.host, cluster.port)
        await asyncio.gather(_pump(reader, broker_writer), _pump(broker_reader, writer))

    async with await asyncio.start_server(connect, LOOPBACK, port) as server:
        await server.serve_forever()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    except OSError:
        return
    finally:
        writer.close()


def main(arguments: Sequence[str]) -> None:
    """Run the cluster on a port until this process is ended."""
    port = int(arguments[0])
    cluster = _Cluster(arguments[1:])
    cluster.advertise(port)
    try:
        asyncio.run(_serve(cluster, port))
    finally:
        os._exit(0)  # the cluster's threads have nothing to save, and do not end by themselves


if __name__ == "__main__":
    main(sys.argv[1:])
