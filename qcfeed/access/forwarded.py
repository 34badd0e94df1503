"""Parses Forwarded (RFC 7239), and X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host.

The result is from right to left, nearest proxy first, and bounded. Nothing here raises: a part that is
malformed ends the list, because what stands to its left cannot be told apart from it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

MAX_HOPS = 32
"""Hops that are read, from the right."""

_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PAIR = re.compile(rf'[ \t]*({_NAME})=({_NAME}|"(?:[^"\\]|\\.)*")[ \t]*(;|\Z)')
_BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\](?::([0-9]{1,5}))?\Z")
_IPV4 = re.compile(r"([0-9.]{7,15})(?::([0-9]{1,5}))?\Z")
_HOST = re.compile(r"[A-Za-z0-9.\-:\[\]]{1,255}\Z")


class Hop(NamedTuple):
    """What one proxy reports about the request that it received. ``host`` is "" if it names no address."""

    host: str = ""
    port: int = 0
    scheme: str = ""
    requested_host: str = ""


def parse_address(text: str) -> tuple[str, int] | None:
    """The address in ``192.0.2.1``, ``192.0.2.1:80``, ``[2001:db8::1]:80`` or ``2001:db8::1``; else None.

    The port is 0 if there is none. An IPv4-mapped IPv6 address is the IPv4 address.
    """
    matched = _BRACKETED.match(text) or _IPV4.match(text)
    host, port = (matched[1], int(matched[2] or 0)) if matched else (text, 0)
    if len(host) > 45 or "%" in host or port > 65_535:
        return None
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return str(found), port


def parse_forwarded(value: bytes) -> Sequence[Hop]:
    """The hops of a Forwarded header; repeated headers are joined with commas.

    It is split at every comma, also in quotes: an address has none, and a quote that a client leaves open
    must not swallow what the proxies appended.
    """
    return [_hop(_pairs(each)) for each in _list(value)]


def _pairs(element: str) -> dict[str, str]:
    """The parameters of one element, names lower-cased; none if it is malformed."""
    found: dict[str, str] = {}
    at, end = 0, ";"
    while end:
        matched = _PAIR.match(element, at)
        if matched is None:
            return {}
        found.setdefault(matched[1].lower(), _unquote(matched[2]))
        at, end = matched.end(), matched[3]
    return found


def _hop(pairs: Mapping[str, str]) -> Hop:
    host, port = parse_address(pairs.get("for", "")) or ("", 0)
    return Hop(host, port, _scheme(pairs.get("proto", "")), _host(pairs.get("host", "")))


def _unquote(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def parse_x_forwarded(headers: Mapping[bytes, bytes]) -> Sequence[Hop]:
    """The hops of the X-Forwarded headers. Proto and Host are the nearest proxy's, unless it appends."""
    addresses = _list(headers.get(b"x-forwarded-for", b""))
    schemes = _list(headers.get(b"x-forwarded-proto", b""))
    hosts = _list(headers.get(b"x-forwarded-host", b""))
    hops = []
    for number, text in enumerate(addresses or [""] * bool(schemes or hosts)):
        host, port = parse_address(text) or ("", 0)
        hops.append(Hop(host, port, _scheme(_nth(schemes, number)), _host(_nth(hosts, number))))
    return hops


def _list(value: bytes) -> list[str]:
    """The last MAX_HOPS entries, the last one first."""
    if not value.strip():
        return []
    parts = value.rsplit(b",", MAX_HOPS)
    kept = parts[1:] if len(parts) > MAX_HOPS else parts
    return [each.strip().decode("latin-1") for each in reversed(kept)]


def _nth(values: Sequence[str], number: int) -> str:
    return values[number] if number < len(values) else ""


def _scheme(text: str) -> str:
    text = text.lower()
    return {"http": "http", "https": "https", "ws": "http", "wss": "https"}.get(text, "")


def _host(text: str) -> str:
    return text if _HOST.match(text) else ""
