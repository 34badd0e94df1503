"""Parses the header of the PROXY protocol, version 1 and 2, with which a connection begins.

The specification is doc/proxy-protocol.txt of HAProxy. Nothing here raises.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from enum import Enum, auto
from typing import NamedTuple

MAX_V1 = 107
"""The most bytes of a version 1 header, with its CRLF."""
MAX_V2 = 16 + 4096
"""The most bytes of a version 2 header that are accepted; its TLVs are skipped."""

SIGNATURE_V1 = b"PROXY "
SIGNATURE_V2 = b"\r\n\r\n\x00\r\nQUIT\n"

_LINE = re.compile(
    rb"PROXY TCP([46]) ([0-9A-Fa-f:.]{2,45}) ([0-9A-Fa-f:.]{2,45}) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})\r\n\Z"
)
_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n\Z")
_ADDRESSES_V2 = {0x11: (4, "!4s4sHH"), 0x21: (16, "!16s16sHH")}
"""By family and transport (TCP over IPv4, IPv6): bytes per address, and the layout."""


class HeaderOutcome(Enum):
    """What the bytes so far are."""

    INCOMPLETE = auto()
    INVALID = auto()
    FOUND = auto()


class Header(NamedTuple):
    """``source``: the client; None if the proxy itself connects (LOCAL, UNKNOWN). ``size``: bytes of
    the header, after which the client's begin."""

    outcome: HeaderOutcome
    size: int = 0
    source: tuple[str, int] | None = None


INCOMPLETE = Header(HeaderOutcome.INCOMPLETE)
INVALID = Header(HeaderOutcome.INVALID)


def parse(data: bytes) -> Header:
    """The header at the start of ``data``."""
    if data.startswith(SIGNATURE_V1):
        return _parse_v1(data)
    if data.startswith(SIGNATURE_V2):
        return _parse_v2(data)
    could_be = SIGNATURE_V1.startswith(data) or SIGNATURE_V2.startswith(data)
    return INCOMPLETE if could_be else INVALID


def _parse_v1(data: bytes) -> Header:
    end = data.find(b"\r\n", 0, MAX_V1)
    if end < 0:
        return INCOMPLETE if len(data) < MAX_V1 else INVALID
    line = data[: end + 2]
    if _UNKNOWN.match(line):
        return Header(HeaderOutcome.FOUND, len(line))
    matched = _LINE.match(line)
    if matched is None:
        return INVALID
    family, source, destination, *ports = (each.decode("ascii") for each in matched.groups())
    kind = ipaddress.IPv4Address if family == "4" else ipaddress.IPv6Address
    try:
        host = kind(source)
        kind(destination)
    except ValueError:
        return INVALID
    if any(int(port) > 65_535 for port in ports):
        return INVALID
    return Header(HeaderOutcome.FOUND, len(line), (str(host), int(ports[0])))


def _parse_v2(data: bytes) -> Header:
    if len(data) < 16:
        return INCOMPLETE
    version_command, family, length = struct.unpack_from("!BBH", data, 12)
    size = 16 + length
    command = version_command & 0x0F
    if version_command >> 4 != 2 or command > 1 or size > MAX_V2:
        return INVALID
    layout = _ADDRESSES_V2.get(family)
    # Before it is complete: a header that can never be right must not wait for its timeout.
    if command == 1 and layout is not None and length < 2 * layout[0] + 4:
        return INVALID
    if len(data) < size:
        return INCOMPLETE
    if command == 0 or layout is None:  # a health check of the proxy's own, or not TCP over IP
        return Header(HeaderOutcome.FOUND, size)
    source, _, port, _ = struct.unpack_from(layout[1], data, 16)
    return Header(HeaderOutcome.FOUND, size, (str(ipaddress.ip_address(source)), port))
