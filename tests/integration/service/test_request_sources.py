"""Who may ask: web pages, host names, and clients behind proxies."""

from __future__ import annotations

import contextlib
import socket
import struct

import aiohttp
import pytest

from qcfeed.errors import ConfigError
from qcfeed.server.connection_snapshots import snapshot
from tests.integration.service.conftest import Start
from tests.support.raw_websocket import RawClient, head
from tests.support.running_service import Running, until

LIVEZ = b"GET /livez HTTP/1.1\r\n%s\r\n\r\n"


async def _upgrade(running: Running, *prefix: bytes, **headers: bytes) -> tuple[int, str]:
    """Status and error code of an upgrade with these headers, behind these bytes."""
    async with await RawClient.connect(running.port) as client:
        client.send(*prefix, head(**headers))
        answer = await client.response()
        return answer.status, "" if answer.status == 101 else answer.json()["code"]


def _peers(running: Running) -> list[str]:
    """The clients' addresses, as `subscribers` lists them."""
    now = running.service.gateway.now()
    return [snapshot(each, now).peer for each in running.service.gateway.connections]


# ------------------------------------------------------------ web pages


async def test_a_foreign_web_page_is_refused_on_the_whole_port(running: Running) -> None:
    own = f"http://localhost:{running.port}".encode()
    host = own.removeprefix(b"http://")
    assert await _upgrade(running, host=host, origin=own) == (101, "")
    assert await _upgrade(running, host=host) == (101, "")
    for page in (b"http://evil.example", b"null", b"http://localhost:1"):
        assert await _upgrade(running, host=host, origin=page) == (403, "foreign_origin")
        status, _ = await running.exchange(LIVEZ % (b"Host: localhost\r\nOrigin: " + page))
        assert status == 403
    assert running.service.gateway.refused["foreign_origin"] == 6
    await running.balanced()


async def test_allowed_web_pages_may_connect(start: Start) -> None:
    running = await start(allow_origin="https://desk.example, null")
    assert await _upgrade(running, origin=b"https://desk.example") == (101, "")
    assert await _upgrade(running, origin=b"null") == (101, "")
    assert await _upgrade(running, origin=b"https://evil.example") == (403, "foreign_origin")
    await running.balanced()


async def test_a_foreign_host_name_is_refused_on_loopback(running: Running) -> None:
    """A name that leads to 127.0.0.1: DNS rebinding makes the attacker's page one of our own."""
    rebound = f"evil.com:{running.port}".encode()
    page = b"http://" + rebound
    assert await _upgrade(running, host=rebound, origin=page) == (403, "foreign_host")
    for path in (b"metrics", b"livez", b"readyz", b""):
        request = b"GET /%s HTTP/1.1\r\nHost: evil.com\r\n\r\n" % path
        assert (await running.exchange(request))[0] == 403
    assert (await running.exchange(LIVEZ % b"Host: 127.0.0.1"))[0] == 200
    assert (await running.exchange(b"GET /livez HTTP/1.0\r\n\r\n"))[0] == 200
    await running.balanced()


async def test_allowed_host_names_and_other_addresses(start: Start) -> None:
    named = await start(allow_host="quotes.example")
    assert await _upgrade(named, host=b"quotes.example") == (101, "")
    assert await _upgrade(named, host=b"evil.com") == (403, "foreign_host")
    exposed = await start(host="0.0.0.0")
    assert await _upgrade(exposed, host=b"quotes.example") == (101, "")
    listed = await start(host="0.0.0.0", allow_host="quotes.example")
    assert await _upgrade(listed, host=b"evil.com") == (403, "foreign_host")
    for each in (named, exposed, listed):
        await each.balanced()


async def test_the_port_of_admin_listen_checks_both_as_well(start: Start) -> None:
    running = await start(admin_listen="127.0.0.1:0")
    url = f"http://{running.service.listening.admin}/metrics"
    async with aiohttp.ClientSession() as session:
        for headers, status in (
            ({}, 200),
            ({"Host": "evil.com"}, 403),
            ({"Origin": "http://evil.example"}, 403),
        ):
            async with session.get(url, headers=headers) as answer:
                assert answer.status == status
    await running.balanced()


# ------------------------------------------------------------ proxies


async def test_a_trusted_proxy_names_the_client(start: Start) -> None:
    running = await start(trusted_proxy="127.0.0.1", client_connections=1)
    async with await RawClient.connect(running.port) as client:
        client.send(head(x_forwarded_for=b"198.51.100.1, 203.0.113.7"))
        assert (await client.response()).status == 101
        assert _peers(running) == ["203.0.113.7"]
        refused = await _upgrade(running, x_forwarded_for=b"203.0.113.7")
        assert refused == (429, "client_connections")
        assert (await _upgrade(running, forwarded=b"for=203.0.113.8"))[0] == 101
    await running.balanced()


async def test_nobody_else_is_believed(start: Start) -> None:
    running = await start(trusted_proxy="192.0.2.0/24")
    async with await RawClient.connect(running.port) as client:
        client.send(head(x_forwarded_for=b"203.0.113.7", forwarded=b"for=203.0.113.8"))
        assert (await client.response()).status == 101
        assert _peers(running) == [f"127.0.0.1:{client.port}"]
    await running.balanced()


async def test_headers_that_contradict_each_other_are_refused(start: Start) -> None:
    running = await start(trusted_proxy="127.0.0.1")
    refused = await _upgrade(running, x_forwarded_for=b"203.0.113.7", forwarded=b"for=198.51.100.1")
    assert refused == (400, "bad_forwarded")
    await running.balanced()


async def test_a_page_of_the_address_that_the_proxy_was_reached_at_may_connect(
    start: Start,
) -> None:
    running = await start(trusted_proxy="127.0.0.1")
    page = {"origin": b"https://quotes.example", "x_forwarded_for": b"203.0.113.7"}
    seen = {"x_forwarded_host": b"quotes.example", "x_forwarded_proto": b"https"}
    assert await _upgrade(running, **page, **seen) == (101, "")
    assert await _upgrade(running, **page) == (403, "foreign_origin")
    plain = seen | {"x_forwarded_proto": b"http"}
    assert await _upgrade(running, **page, **plain) == (403, "foreign_origin")
    await running.balanced()


V1 = b"PROXY TCP4 203.0.113.7 127.0.0.1 56324 8711\r\n"
V2 = (
    b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c"
    + socket.inet_aton("203.0.113.7")
    + socket.inet_aton("127.0.0.1")
    + struct.pack("!HH", 56324, 8711)
)


@pytest.mark.parametrize("header", [V1, V2], ids=["version 1", "version 2"])
async def test_the_proxy_protocol_names_the_client(start: Start, header: bytes) -> None:
    running = await start(trusted_proxy="127.0.0.1", proxy_protocol=True)
    async with await RawClient.connect(running.port) as client:
        client.send(header, head())
        assert (await client.response()).status == 101
        assert _peers(running) == ["203.0.113.7:56324"]
        await client.message("quote")
    async with await RawClient.connect(running.port) as slow:
        for byte in header + head():
            slow.send(bytes((byte,)))
            await slow.flush()
        assert (await slow.response()).status == 101
    await running.balanced()


@pytest.mark.parametrize("header", [b"", b"PROXY TCP9 a b c d\r\n", b"\x16\x03\x01\x00\xa5"])
async def test_without_a_valid_header_the_connection_is_dropped_counted_and_logged(
    start: Start, header: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    running = await start(trusted_proxy="127.0.0.1", proxy_protocol=True)
    async with await RawClient.connect(running.port) as client:
        client.send(header, head())
        assert await client.ended() == "reset"
    assert running.service.gateway.refused == {"proxy_header": 1}
    assert [r.getMessage() for r in caplog.records if "PROXY" in r.getMessage()]
    await running.balanced()


async def test_a_silent_proxy_connection_ends_after_its_time(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qcfeed.net.proxy_headers.HEADER_TIMEOUT", 0.05)
    running = await start(trusted_proxy="127.0.0.1", proxy_protocol=True)
    async with await RawClient.connect(running.port) as client:
        client.send(V1[:10])
        assert await client.ended() == "reset"
    await running.balanced()


async def test_connections_without_a_header_end_with_the_service(start: Start) -> None:
    running = await start(trusted_proxy="127.0.0.1", proxy_protocol=True)
    client = await RawClient.connect(running.port)
    await until(lambda: running.service.gateway.files == 1, "it waits")
    await running.service.stop()
    assert await client.ended() == "reset"
    await client.leave()


async def test_strangers_may_not_send_the_header(start: Start) -> None:
    running = await start(trusted_proxy="192.0.2.0/24", proxy_protocol=True)
    with contextlib.suppress(ConnectionResetError):  # while it connects, or afterwards
        async with await RawClient.connect(running.port) as client:
            client.send(V1, head())
            assert await client.ended() == "reset"
    assert running.service.gateway.refused == {"proxy_header": 1}
    await running.balanced()


@pytest.mark.parametrize(
    "options",
    [
        {"trusted_proxy": "proxy.example"},
        {"proxy_protocol": True},
        {"allow_origin": "desk.example"},
    ],
)
async def test_options_that_cannot_be_meant_are_told(start: Start, options: dict) -> None:
    with pytest.raises(ConfigError) as told:
        await start(**options)
    assert told.value.hint
