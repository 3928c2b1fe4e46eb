"""The guard for hosts that tenants supply."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_service.lib.net import PUBLIC_ONLY, BlockedAddress, NetworkPolicy, is_public, resolve_allowed

REFUSED = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1",
    "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "2002:7f00:1::1",
    "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%1", "fec0::1", "ff02::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:82a::200e"]


@pytest.mark.parametrize("address", REFUSED)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    assert not PUBLIC_ONLY.permits(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert PUBLIC_ONLY.permits(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_no_way_around_through_ipv6(address: ipaddress.IPv4Address) -> None:
    """Whatever IPv6 form carries an IPv4 address, it is never let through for the IPv6 form's sake."""
    number = int(address)
    nat64, six_to_four = int(ipaddress.IPv6Address("64:ff9b::")) | number, (0x2002 << 112) | (number << 80)
    for carrier in (number, (0xFFFF << 32) | number, nat64, six_to_four, (0x20010000 << 96) | (number ^ 0xFFFFFFFF)):
        assert not is_public(ipaddress.IPv6Address(carrier))


def test_allowed_networks() -> None:
    policy = NetworkPolicy.parse(["10.1.0.0/16", "fd00::/8", " 127.0.0.1 "])
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::25", "127.0.0.1", "8.8.8.8"):
        assert policy.permits(ipaddress.ip_address(address)), address
    for address in ("10.2.0.1", "127.0.0.2", "fe80::1", "169.254.169.254"):
        assert not policy.permits(ipaddress.ip_address(address)), address
    with pytest.raises(ValueError, match="300"):
        NetworkPolicy.parse(["10.0.0.300/8"])


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "::1", "::ffff:10.0.0.1"]
)
def test_every_spelling_of_a_private_address_is_refused(host: str) -> None:
    with pytest.raises(BlockedAddress, match="not allowed") as caught:
        asyncio.run(resolve_allowed(host, 25))
    assert caught.value.host == host


def test_a_name_with_one_private_address_is_refused_and_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    answers = {"mixed.test": ["93.184.216.34", "10.0.0.1"], "good.test": ["93.184.216.34", "2606:4700:4700::1111"]}

    async def getaddrinfo(self: Any, host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [
            (socket.AF_INET6 if ":" in text else socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, port))
            for text in answers[host] * 2
        ]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    with pytest.raises(BlockedAddress):
        asyncio.run(resolve_allowed("mixed.test", 25))
    allowed = NetworkPolicy.parse(["10.0.0.0/8"]).allowed_networks
    assert len(asyncio.run(resolve_allowed("mixed.test", 25, allowed))) == 2
    assert asyncio.run(resolve_allowed("good.test", 25)) == [
        (socket.AF_INET, "93.184.216.34"),
        (socket.AF_INET6, "2606:4700:4700::1111"),
    ]
    assert asked == ["mixed.test", "mixed.test", "good.test"]


@pytest.mark.parametrize("host", ["nowhere.invalid", "x" * 70 + ".test", "a..b"])
def test_names_that_do_not_resolve(host: str) -> None:
    with pytest.raises(socket.gaierror):
        asyncio.run(resolve_allowed(host, 25))
