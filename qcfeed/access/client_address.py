"""Which addresses are one client."""

from __future__ import annotations

import ipaddress

IPV6_PREFIX = 64
"""Bits of an IPv6 address that identify a client: whoever has one address of a /64 has all of them."""


def client_of(host: str) -> str:
    """The client that the IP address ``host`` belongs to, for example ``2001:db8:0:1::/64``.

    An IPv6 network of /64 is one client, and an IPv4-mapped IPv6 address is the IPv4 address. A zone
    (``fe80::1%eth0``) is ignored. Raises ValueError for other text that contains a colon.
    """
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host.partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, IPV6_PREFIX), strict=False))
