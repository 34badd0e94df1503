"""Decides which web pages and host names a service answers.

A browser sends the Origin of the page whose script connects, and in Host the name that it looked up.
A foreign Origin is another site that uses its reader's access. A foreign Host at a loopback address is
DNS rebinding: the attacker's name leads to this machine, so the browser takes both for one site.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import urlsplit

from qcfeed.numbers import MAX_PORT

ANY = "*"
_AUTHORITY = re.compile(r"(?:([A-Za-z0-9._~\-]+)|\[([0-9A-Fa-f:.]+)\])(?::([0-9]{1,5}))?\Z")
_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def parse_list(text: str) -> frozenset[str]:
    """The entries of a list that is separated by commas, lower-cased, without a final slash."""
    entries = (each.strip().rstrip("/").lower() for each in text.split(","))
    return frozenset(filter(None, entries))


def is_origin(text: str) -> bool:
    """Whether ``text`` has the form of an origin: ``https://HOST`` or ``https://HOST:PORT``."""
    try:
        parts = urlsplit(text)
        return bool(
            parts.scheme
            and parts.hostname
            and parts.port != 0
            and not parts.path
            and not parts.query
        )
    except ValueError:
        return False


def allows_origin(origin: str, host: str, scheme: str, allowed: Collection[str]) -> bool:
    """Whether a page of ``origin`` may connect to a service that it reached as ``host``.

    ``scheme``: how the client reached it; "" if that is not known, and then either port is taken as the
    default. ``null`` (a file, a sandbox) is no origin, and must be allowed by name.
    """
    origin = origin.strip().lower()
    if ANY in allowed or origin in allowed:
        return True
    page_scheme, separator, authority = origin.partition("://")
    default = _DEFAULT_PORTS.get(page_scheme)
    if not separator or default is None:
        return False
    if scheme and _DEFAULT_PORTS.get(scheme) != default:
        return False
    page = split_host(authority, default)
    return page[0] is not None and page == split_host(host.strip(), default)


def split_host(host: str, default_port: int | None) -> tuple[str | None, int | None]:
    """The name and port of a Host header; (None, None) if it is malformed."""
    matched = _AUTHORITY.match(host)
    port = default_port if matched is None or matched[3] is None else int(matched[3])
    if matched is None or (port or 0) > MAX_PORT:
        return None, None
    return (matched[1] or matched[2]).lower(), port


def allows_host(host: str, allowed: Collection[str]) -> bool:
    """Whether a service on a loopback address answers to this Host header.

    It answers to loopback addresses, ``localhost`` and names below it, and names that are allowed, on
    any port. A client without a Host header is no browser.
    """
    if not host:
        return True
    name, _ = split_host(host.strip(), None)
    if name is None:
        return False
    name = name.rstrip(".")
    if ANY in allowed or name in allowed or host.strip().lower() in allowed:
        return True
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
