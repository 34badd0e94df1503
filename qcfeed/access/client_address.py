"""Which addresses are one client."""

from __future__ import annotations

import ipaddress
from typing import TypeAlias

SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int]
"""A peer's address, as the kernel returns it for IPv4 and IPv6."""

IPV6_PREFIX = 64
"""Bits of an IPv6 address that identify a client: a host usually has all addresses of its /64."""

_LOOPBACK = "::1"
"""The one loopback address of IPv6; the rest of its /64 is not loopback."""


def client_of(host: str) -> str:
    """The client that the IP address ``host`` belongs to, for example ``2001:db8:0:1::/64``.

    An IPv6 network of /64 is one client, and an IPv4-mapped IPv6 address is the IPv4 address. A zone
    (``fe80::1%eth0``) is ignored. Raises ValueError for other text that contains a colon.
    """
    if ":" not in host or host == _LOOPBACK:
        return host
    address = ipaddress.IPv6Address(host.partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, IPV6_PREFIX), strict=False))


def unmapped(address: SocketAddress) -> SocketAddress:
    """``address``, with an IPv4-mapped IPv6 host as IPv4, and without a zone."""
    host, port = address[:2]
    if ":" not in host:
        return address
    found = ipaddress.IPv6Address(host.partition("%")[0])
    return str(found.ipv4_mapped or found), port


def is_loopback(client: str) -> bool:
    """Whether the client is on this machine."""
    return client.startswith("127.") or client == _LOOPBACK


def join_host_port(host: str, port: int) -> str:
    """HOST:PORT, with an IPv6 host in brackets, as in a URL; without a port that is 0, not known."""
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{port}" if port else shown


def is_local(host: str) -> bool:
    """Whether a service that listens on ``host`` is reached from this machine alone."""
    return host == "localhost" or is_loopback(host)
