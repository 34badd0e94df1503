"""Finds a client's address behind proxies that the operator trusts.

Each proxy appends the address of its own client to X-Forwarded-For or Forwarded. So the list is read
from the right, and only as far as each entry was written by a trusted proxy: whatever stands further
left may come from the client itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from qcfeed.access.forwarded import Hop, parse_forwarded, parse_x_forwarded

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Origin(NamedTuple):
    """Where a request comes from. ``port`` is 0 if no proxy tells it. ``scheme``: how the client reached
    the first trusted proxy, or "" if that is not told; likewise ``host``, its Host header there."""

    host: str
    port: int
    scheme: str = ""
    requested_host: str = ""


def parse_networks(text: str) -> tuple[Network, ...]:
    """The networks of a list such as ``10.0.0.0/8, ::1``. Raises ValueError, naming the entry."""
    found = []
    for entry in filter(None, map(str.strip, text.split(","))):
        try:
            found.append(ipaddress.ip_network(entry, strict=False))
        except ValueError as error:
            raise ValueError(f"{entry[:60]!r} is not an address or network") from error
    return tuple(found)


class TrustedProxies:
    """The proxies in ``networks``."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = tuple(networks)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def trusts(self, host: str) -> bool:
        """Whether ``host`` is the address of a trusted proxy."""
        if not self._networks:
            return False
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._networks)

    def origin(self, peer: tuple[str, int], headers: Mapping[bytes, bytes]) -> Origin | None:
        """The client of a request that came from ``peer``. Header names are lower-cased.

        None if Forwarded and X-Forwarded-For contradict each other: most proxies write one of them and
        pass the other on as the client sent it, and it is not known which. Cost: O(trusted entries).
        """
        direct = Origin(*peer)
        if not self.trusts(direct.host):
            return direct
        found = [
            self._follow(direct, parse(headers))
            for name, parse in _PARSERS.items()
            if name in headers
        ]
        if len({each.host for each in found}) > 1:
            return None
        return found[0] if found else self._follow(direct, parse_x_forwarded(headers))

    def _follow(self, direct: Origin, hops: Sequence[Hop]) -> Origin:
        """Follow the hops, nearest first, as long as each was written by a trusted proxy.

        An entry that is no address (``unknown``, ``_hidden``) ends the way: the client is then the
        proxy that wrote it.
        """
        found = direct
        for hop in hops:
            found = Origin(
                hop.host or found.host,
                hop.port if hop.host else found.port,
                hop.scheme or found.scheme,
                hop.requested_host or found.requested_host,
            )
            if not hop.host or not self.trusts(hop.host):
                break
        return found


_PARSERS: Mapping[bytes, Callable[[Mapping[bytes, bytes]], Sequence[Hop]]] = {
    b"forwarded": lambda headers: parse_forwarded(headers[b"forwarded"]),
    b"x-forwarded-for": parse_x_forwarded,
}
