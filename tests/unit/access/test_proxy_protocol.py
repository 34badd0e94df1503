"""The PROXY protocol's header, in every division into pieces."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcfeed.access.proxy_protocol import (
    INCOMPLETE,
    INVALID,
    MAX_V1,
    MAX_V2,
    SIGNATURE_V2,
    Header,
    HeaderOutcome,
    parse,
)

V4 = b"PROXY TCP4 203.0.113.7 127.0.0.1 56324 8711\r\n"
V6 = b"PROXY TCP6 2001:db8::7 ::1 56324 8711\r\n"


def v2(source: str, port: int, *, command: int = 1, family: int | None = None, tlv: bytes = b""):
    address = ipaddress.ip_address(source)
    packed = address.packed * 2 + struct.pack("!HH", port, 8711)
    kind = family if family is not None else 0x11 if address.version == 4 else 0x21
    head = struct.pack("!BBH", 0x20 | command, kind, len(packed) + len(tlv))
    return SIGNATURE_V2 + head + packed + tlv


def test_both_versions_name_the_client():
    assert parse(V4) == Header(HeaderOutcome.FOUND, len(V4), ("203.0.113.7", 56324))
    assert parse(V6) == Header(HeaderOutcome.FOUND, len(V6), ("2001:db8::7", 56324))
    for host in ("203.0.113.7", "2001:db8::7"):
        header = v2(host, 5, tlv=b"\x04\x00\x01x")
        assert parse(header + b"GET /") == Header(HeaderOutcome.FOUND, len(header), (host, 5))


def test_a_proxys_own_connection_names_no_client():
    local = v2("203.0.113.7", 5, command=0)
    assert parse(local) == Header(HeaderOutcome.FOUND, len(local))
    for line in (b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"):
        assert parse(line + b"rest") == Header(HeaderOutcome.FOUND, len(line))
    unix = SIGNATURE_V2 + struct.pack("!BBH", 0x21, 0x31, 216) + bytes(216)
    assert parse(unix) == Header(HeaderOutcome.FOUND, len(unix))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01\x00\xa5",
        b"PROXY TCP4 203.0.113.7 127.0.0.1 56324\r\n",
        b"PROXY TCP4 203.0.113.7 127.0.0.1 56324 8711 \r\n",
        b"PROXY TCP4 2001:db8::7 ::1 56324 8711\r\n",
        b"PROXY TCP4 203.0.113.07 127.0.0.1 56324 8711\r\n",
        b"PROXY TCP4 203.0.113.7 127.0.0.1 65536 8711\r\n",
        b"PROXY TCP4 203.0.113.7 127.0.0.1 007 8711\r\n",
        b"PROXY TCP5 203.0.113.7 127.0.0.1 1 2\r\n",
        b"PROXY UDP4 203.0.113.7 127.0.0.1 1 2\r\n",
        b"PROXY  TCP4 203.0.113.7 127.0.0.1 1 2\r\n",
        b"PROXY TCP4 203.0.113.7 127.0.0.1 1 2\n" + b"x" * 80,
        b"PROXY " + b"x" * 200,
        b"proxy TCP4 203.0.113.7 127.0.0.1 1 2\r\n",
        SIGNATURE_V2 + b"\x11\x11\x00\x0c" + bytes(12),  # version 1
        SIGNATURE_V2 + b"\x22\x11\x00\x0c" + bytes(12),  # an unknown command
        SIGNATURE_V2 + b"\x21\x11\x00\x0b" + bytes(11),  # too short for its addresses
        SIGNATURE_V2 + b"\x21\x11\xff\xff",
    ],
)
def test_anything_else_is_invalid(data: bytes):
    assert parse(data) == INVALID


@given(st.ip_addresses(), st.integers(0, 65_535), st.binary(max_size=60), st.data())
def test_a_header_is_complete_with_its_last_byte_and_not_before(address, port, rest, data):
    headers = [v2(str(address), port, tlv=b"\x03\x00\x04abcd")]
    host = str(address)
    if "." not in host or ":" not in host:  # proxies write mapped addresses in other forms
        other = "127.0.0.1" if address.version == 4 else "::1"
        headers.append(f"PROXY TCP{address.version} {host} {other} {port} 1\r\n".encode())
    header = data.draw(st.sampled_from(headers))
    cut = data.draw(st.integers(0, len(header) - 1))
    assert parse(header[:cut]) == INCOMPLETE
    assert parse(header + rest) == Header(HeaderOutcome.FOUND, len(header), (host, port))


@given(st.binary(max_size=300), st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE_V2]))
def test_no_bytes_raise_and_no_header_is_longer_than_its_bound(junk: bytes, start: bytes):
    found = parse(start + junk)
    if found.outcome is HeaderOutcome.FOUND:
        assert 0 < found.size <= min(len(start + junk), MAX_V2)
    elif found == INCOMPLETE:
        assert len(start + junk) < (MAX_V1 if start.startswith(b"PROXY") else MAX_V2)
