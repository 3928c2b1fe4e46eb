"""The guard for hosts that tenants supply: a name is resolved once, judged, and connected to by its address.

Resolving once is what defeats DNS rebinding: the address that was judged is the address that is connected to, while
the name is kept for SNI and the certificate. Every spelling of an address (decimal, hex, octal, IPv4 in IPv6) is
judged in the form that the resolver gives back, so no spelling needs a rule of its own.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

#: The only IPv6 space that is handed out for use on the internet (RFC 4291 §2.4, IANA registry). NAT64 (64:ff9b::/96),
#: unique local, link-local, multicast and the IPv4-mapped, -compatible and -translated forms all lie outside of it.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
#: Inside of it, but they carry an IPv4 address or lead to one: Teredo (RFC 4380), 6to4 (RFC 3056); and documentation.
_TUNNELS = tuple(ipaddress.IPv6Network(text) for text in ("2001::/23", "2002::/16", "2001:db8::/32", "3fff::/20"))
#: 6to4 relay anycast (RFC 7526), which some Python releases call global.
_RELAYS = ipaddress.IPv4Network("192.88.99.0/24")


class BlockedAddress(OSError):
    """A host whose address is not public. ``host`` is the name as given; the address is not told to the caller."""

    def __init__(self, host: str) -> None:
        super().__init__(f"the address of {host!r} is not allowed")
        self.host = host


def is_public(address: IPAddress) -> bool:
    """Return whether an address can be reached on the internet and nowhere else."""
    if isinstance(address, ipaddress.IPv6Address):
        if address not in _GLOBAL_UNICAST or any(address in network for network in _TUNNELS):
            return False
    elif address in _RELAYS:
        return False
    return address.is_global and not address.is_multicast


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """Which networks may be connected to although they are not public (on-premises servers, development)."""

    allowed_networks: tuple[IPNetwork, ...] = ()

    @classmethod
    def parse(cls, networks: Iterable[str]) -> NetworkPolicy:
        """Build a policy from CIDR strings. Raises ``ValueError`` naming the network that is not one."""
        return cls(tuple(ipaddress.ip_network(text.strip()) for text in networks))

    def permits(self, address: IPAddress, *, clear_text: bool = False) -> bool:
        """Return whether an address is public or inside an allowed network; for clear text only the latter counts."""
        plain = getattr(address, "ipv4_mapped", None) or address
        return (not clear_text and is_public(address)) or any(
            plain.version == network.version and plain in network for network in self.allowed_networks
        )


def http_parts(url: str) -> SplitResult | None:
    """Return the parts of an HTTP(S) address with a host, all in printable ASCII; None of anything else."""
    try:
        parts = urlsplit(url)
        complete = parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if complete and url.isascii() and url.isprintable() and " " not in url else None


def check_url(url: str, policy: NetworkPolicy, *, example: str) -> SplitResult:
    """Return the parts of an address that a tenant supplied. Raises ``ValueError`` in words if it can not be called.

    What a name resolves to, and how an address may be spelled otherwise, is judged at each connection.
    """
    parts = http_parts(url)
    if parts is None or "@" in parts.netloc or parts.fragment:
        raise ValueError(f"Enter an address such as {example}, without user name or fragment.")
    if parts.scheme == "http" and not policy.allowed_networks:
        raise ValueError("Must begin with https://.")
    try:
        address = ipaddress.ip_address(parts.hostname or "")
    except ValueError:
        return parts
    if not policy.permits(address):
        raise ValueError("This address is not public.")
    return parts


#: The default: the internet and nothing else.
PUBLIC_ONLY = NetworkPolicy()


async def resolve_allowed(
    host: str, port: int, allowed_networks: Iterable[IPNetwork] = ()
) -> list[tuple[socket.AddressFamily, str]]:
    """Resolve a host once and return its addresses as (family, address), best first, without duplicates.

    Raises ``BlockedAddress`` if *any* of them is neither public nor in ``allowed_networks`` (a name that points to
    both sides is an attack or a mistake), and ``socket.gaierror`` if the name does not resolve.
    """
    policy = NetworkPolicy(tuple(allowed_networks))
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label that IDNA can not express never resolves
        raise socket.gaierror(socket.EAI_NONAME, "the host name is not valid") from error
    addresses: dict[str, socket.AddressFamily] = {}
    for family, _, _, _, address in found:
        text = str(address[0])
        if not policy.permits(ipaddress.ip_address(text)):
            raise BlockedAddress(host)
        addresses.setdefault(text, socket.AddressFamily(family))
    return [(family, text) for text, family in addresses.items()]
