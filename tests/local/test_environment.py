"""Secrets and ports are made once; what the caller sets wins."""

from __future__ import annotations

import base64
import socket
from pathlib import Path

import pytest

from notification_service.local.environment import InvalidPort, local_setup
from notification_service.local.services import local_services


def test_secrets_and_urls_stay_the_same(tmp_path: Path) -> None:
    first = local_setup(tmp_path, {}).environment()
    assert local_setup(tmp_path, {}, rechoose_ports=True).environment() == first
    assert (tmp_path / ".local" / "env").stat().st_mode & 0o777 == 0o600
    assert len(first["DJANGO_SECRET_KEY"]) >= 50
    assert len(base64.urlsafe_b64decode(first["ENCRYPTION_KEYS"])) == 32
    assert local_setup(tmp_path / "other", {}).environment()["ENCRYPTION_KEYS"] != first["ENCRYPTION_KEYS"]


def test_a_taken_internal_port_is_chosen_anew_and_only_that_one(tmp_path: Path) -> None:
    before = local_setup(tmp_path, {}).ports
    with socket.create_server(("127.0.0.1", before["redis"])):
        assert local_setup(tmp_path, {}).ports == before
        after = local_setup(tmp_path, {}, rechoose_ports=True).ports
    assert after["redis"] != before["redis"]
    assert {**after, "redis": 0} == {**before, "redis": 0}


def test_no_internal_port_is_the_public_one(tmp_path: Path) -> None:
    """The public one may be chosen after the others were: it is still free then, and would be fought for."""
    taken = local_setup(tmp_path, {}).ports["postgres"]
    after = local_setup(tmp_path, {"PORT": str(taken)}, rechoose_ports=True).ports
    assert taken not in after.values()
    assert len(set(after.values())) == len(after)


def test_servers_that_are_given_are_used_and_none_is_started(tmp_path: Path) -> None:
    given = {"DATABASE_URL": "postgres://a:b@db.example/c", "REDIS_URL": "redis://redis.example/0", "DEBUG": "false"}
    given["KAFKA_BOOTSTRAP_SERVERS"] = "kafka.example:9092"
    setup = local_setup(tmp_path, given)
    assert given.items() <= setup.environment().items()
    names = {service.name for service in local_services(setup)}
    assert not {"postgres", "redis", "kafka"} & names
    assert {"postgres", "redis", "kafka"} | names == {
        service.name for service in local_services(local_setup(tmp_path, {}))
    }


def test_no_kafka_no_consumer(tmp_path: Path) -> None:
    names = {service.name for service in local_services(local_setup(tmp_path, {"KAFKA_BOOTSTRAP_SERVERS": ""}))}
    assert not {"kafka", "consumer"} & names


def test_the_port_moves_every_address(tmp_path: Path) -> None:
    assert local_setup(tmp_path, {}).base_url == "http://127.0.0.1:3001"
    assert local_setup(tmp_path, {"PORT": "3002"}).environment()["PUBLIC_URL"] == "http://127.0.0.1:3002"


@pytest.mark.parametrize("port", ["0", "65536", "-1", "web", "3001 ", "²"])
def test_a_port_that_is_none_is_named(tmp_path: Path, port: str) -> None:
    with pytest.raises(InvalidPort, match="PORT="):
        local_setup(tmp_path, {"PORT": port})
