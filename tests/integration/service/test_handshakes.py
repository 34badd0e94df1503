"""Valid upgrades are accepted and malformed ones refused, on real sockets."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from websockets.exceptions import InvalidStatus

from qcfeed.ws import pending
from tests.integration.service.conftest import Start
from tests.support.patience import PATIENCE
from tests.support.raw_websocket import KEY, RawClient, close, head, request
from tests.support.running_service import Running, until
from tests.support.websockets_client import connect_async

GOOD = {
    "plain": head(),
    "lower case": head("/quotes/aapl"),
    "percent-encoded": head("/quotes/%41APL"),
    "query": head("/quotes/AAPL?token=x"),
    "other header order and case": (
        b"GET /quotes/AAPL HTTP/1.1\r\nsec-websocket-KEY:" + KEY + b" \t\r\n"
        b"CONNECTION: keep-alive, UPGRADE\r\nUPGRADE: WebSocket\r\n"
        b"Sec-WebSocket-Version:13\r\nhost: localhost\r\n\r\n"
    ),
    "two Connection headers": head().replace(b"\r\nupgrade", b"\r\nconnection: close\r\nupgrade"),
    "several protocols to upgrade to": head(upgrade=b"h2c, websocket"),
    "extensions offered": head(sec_websocket_extensions=b"permessage-deflate; client_max_window_bits"),
    "no body, said so": head(content_length=b"0"),
    "absolute form": head("ws://127.0.0.1:80/quotes/AAPL"),
    "absolute form over a proxy": head("HTTP://localhost/quotes/AAPL?x=1"),
    "a long token in the query": head(b"/quotes/AAPL?access_token=" + b"a" * 8_000),
    "another subprotocol": head(sec_websocket_protocol=b"mqtt, QCFEED.v1.json"),
    "empty lines first": b"\r\n\r\n" + head(),
    "16 kB less a little": head(x=b"a" * 16_000),
}  # fmt: skip


async def test_a_connection_is_shown_with_the_address_of_its_client(running: Running) -> None:
    async with await running.client() as client:
        await client.message("quote")
        (connection,) = running.service.gateway.connections
        assert connection.peer == f"127.0.0.1:{client.port}"


async def test_pending_connections_are_ordered_by_deadline_also_after_a_refusal(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "HEAD_TIMEOUT", PATIENCE)
    waiting = running.service.gateway.pending
    async with (
        await RawClient.connect(running.port) as first,
        await RawClient.connect(running.port),
    ):
        await until(lambda: len(waiting) == 2, "both are accepted")
        first.send(b"this is not HTTP\r\n\r\n")
        assert (await first.response()).status == 400
        deadlines = [each.deadline for each in waiting]
        assert len(deadlines) == 2
        assert deadlines == sorted(deadlines)


@pytest.mark.parametrize("sent", GOOD.values(), ids=GOOD)
async def test_a_good_upgrade(running: Running, sent: bytes) -> None:
    async with await RawClient.connect(running.port) as client:
        client.send(sent)
        answer = await client.response()
        assert answer.status == 101
        assert answer.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert "sec-websocket-extensions" not in answer.headers
        assert "sec-websocket-protocol" not in answer.headers
        assert (await client.message())["symbol"] == "AAPL"
    await running.balanced()


async def test_our_subprotocol_is_chosen_if_it_is_offered(running: Running) -> None:
    """A client of the websockets package fails if a subprotocol is chosen that it did not offer."""
    url = f"ws://127.0.0.1:{running.port}/quotes/AAPL"
    for offered in (["qcfeed.v1.json"], ["mqtt", "qcfeed.v1.json"]):
        async with connect_async(url, subprotocols=offered) as client:
            assert client.subprotocol == "qcfeed.v1.json"
            assert json.loads(await client.recv())["symbol"] == "AAPL"


async def test_a_plain_request_in_absolute_form_is_served(running: Running) -> None:
    async with await RawClient.connect(running.port) as client:
        client.send(
            b"GET http://127.0.0.1/livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        assert (await client.response()).status == 200


async def test_frames_sent_right_after_the_head_are_read(running: Running) -> None:
    async with await RawClient.connect(running.port) as client:
        client.send(head("/stream"), request("ping"), request("subscribe", "AAPL"))
        assert (await client.response()).status == 101
        assert (await client.message())["type"] == "pong"
        assert (await client.message())["type"] == "subscribed"
        assert (await client.message())["type"] == "quote"
    async with await RawClient.connect(running.port) as client:
        client.send(head(), close(1000))
        assert (await client.response()).status == 101
        assert (await client.closing()).code == 1000
        assert await client.ended() == "eof"
    await running.balanced()


async def test_a_head_in_pieces_of_one_byte(running: Running) -> None:
    async with await RawClient.connect(running.port) as client:
        sent = head() + request("ping")
        for n in range(len(sent)):
            client.send(sent[n : n + 1])
            await asyncio.sleep(0)
        assert (await client.response()).status == 101
        await client.message("quote")
        await client.message("pong")


BAD = {
    "POST": (head(method=b"POST"), 400, "bad_handshake"),
    "no upgrade": (head(drop=(b"upgrade",)), 426, "upgrade_required"),
    "upgrade to something else": (head(upgrade=b"h2c"), 426, "upgrade_required"),
    "no connection": (head(drop=(b"connection",)), 400, "bad_handshake"),
    "connection: close": (head(connection=b"close"), 400, "bad_handshake"),
    "no version": (head(drop=(b"sec-websocket-version",)), 426, "bad_version"),
    "version 8": (head(sec_websocket_version=b"8"), 426, "bad_version"),
    "version 13 twice": (head(sec_websocket_version=b"13, 13"), 426, "bad_version"),
    "no key": (head(drop=(b"sec-websocket-key",)), 400, "bad_handshake"),
    "short key": (head(sec_websocket_key=b"c2hvcnQ="), 400, "bad_handshake"),
    "key not base64": (head(sec_websocket_key=b"*" * 24), 400, "bad_handshake"),
    "two keys": (head(sec_websocket_key=KEY + b"\r\nSec-WebSocket-Key: " + KEY), 400, "bad_handshake"),
    "no Host": (head(drop=(b"host",)), 400, "bad_handshake"),
    "no Host beside an absolute form": (head("ws://x/stream", drop=(b"host",)), 400, "bad_handshake"),
    "two Hosts": (head(host=b"a\r\nHost: b"), 400, "bad_handshake"),
    "HTTP/1.0": (head(version=b"HTTP/1.0"), 400, "bad_handshake"),
    "HTTP/2.0": (head(version=b"HTTP/2.0"), 400, "bad_handshake"),
    "HTTP/3.7": (head(version=b"HTTP/3.7"), 400, "bad_request"),
    "HTTP/0.9": (b"GET /quotes/AAPL\r\n\r\n", 426, "upgrade_required"),
    "a body": (head(content_length=b"5") + b"hello", 400, "bad_handshake"),
    "a body that does not come": (head(content_length=b"5"), 400, "bad_handshake"),
    "a chunked body": (head(transfer_encoding=b"chunked"), 400, "bad_handshake"),
    "two lengths": (head(content_length=b"5\r\nContent-Length: 6"), 400, "bad_request"),
    "length and chunks": (
        head(content_length=b"5", transfer_encoding=b"chunked"), 400, "bad_request"
    ),
    "bare LF": (head().replace(b"\r\n", b"\n"), 400, "bad_request"),
    "bare LF in a header": (head(x=b"1\nY: 2"), 400, "bad_request"),
    "folded header": (head(x=b"1\r\n folded"), 400, "bad_request"),
    "space before the colon": (head().replace(b"host:", b"host :"), 400, "bad_request"),
    "NUL in a header": (head(x=b"\x00"), 400, "bad_request"),
    "no HTTP at all": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n", 400, "bad_request"),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad_request"),
    "head over 16 kB at once": (head(x=b"a" * 17_000), 431, "head_too_large"),
    "head of 1 MB": (head(x=b"a" * 1_000_000), 431, "head_too_large"),
    "10,000 headers": (head(x=b"\r\n".join([b"", *[b"y: z"] * 10_000])), 431, "head_too_large"),
    "head over 16 kB, not finished": (head(x=b"a" * 17_000)[:-4], 431, "head_too_large"),
    "empty lines for ever": (b"\r\n" * 20_000, 431, "head_too_large"),
    "a second request behind the first": (
        head("/stream", drop=(b"upgrade", b"connection")) + head("/quotes/AAPL"), 426, "upgrade_required"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "status", "code"), BAD.values(), ids=BAD)
async def test_a_malformed_upgrade_is_refused(
    running: Running, sent: bytes, status: int, code: str
) -> None:
    assert await running.refusal(sent) == (status, code)
    assert running.service.gateway.refused == {code: 1}
    assert running.service.gateway.opened == 0
    await running.balanced()


BAD_SYMBOLS = {
    "parent": "../x",
    "parent, encoded": "%2e%2e",
    "parent, encoded with a path": "%2e%2e%2fetc%2fpasswd",
    "encoded twice": "%2541APL",
    "two dots inside": "A..B",
    "dot first": ".A",
    "empty": "",
    "trailing slash": "AAPL/",
    "encoded slash": "AAPL%2F",
    "NUL": "AAPL%00",
    "new line": "AAPL%0a",
    "space": "AAPL%20",
    "plus": "A+B",
    "long s, upper-cased an S": "%C5%BFPY",
    "full width": "%EF%BC%A1APL",
    "Cyrillic A": "%D0%90APL",
    "no UTF-8": "%ff%fe",
    "half an escape": "AAPL%4",
    "no escape": "%zz",
    "17 letters": "A" * 17,
    "fragment": "AAPL#x",
}


@pytest.mark.parametrize("symbol", BAD_SYMBOLS.values(), ids=BAD_SYMBOLS)
async def test_a_bad_symbol_is_refused_before_the_upgrade(running: Running, symbol: str) -> None:
    assert await running.refusal(head(f"/quotes/{symbol}")) == (400, "invalid_symbol")
    assert not running.service.hub.feeds
    await running.balanced()


async def test_a_name_of_10_kb_is_refused_without_repeating_it(running: Running) -> None:
    async with await RawClient.connect(running.port) as client:
        client.send(head("/quotes/" + "A" * 10_000))
        answer = await client.response()
    assert (answer.status, answer.json()["code"]) == (414, "invalid_symbol")
    assert len(answer.body) < 300
    await running.balanced()


async def test_raw_non_ascii_bytes_are_not_http(running: Running) -> None:
    assert await running.refusal(head("/quotes/\uff21APL")) == (400, "bad_request")


@pytest.mark.parametrize("symbol", ["NOSUCH", "nosuch", "A.B-C", "0"])
async def test_an_unknown_symbol_is_404_before_the_upgrade(running: Running, symbol: str) -> None:
    assert await running.refusal(head(f"/quotes/{symbol}")) == (404, "unknown_symbol")
    assert not running.service.hub.feeds
    await running.balanced()


@pytest.mark.parametrize(
    "target",
    ["http://user@qcfeed.test/quotes/AAPL", "//quotes/AAPL", "/stream/", "/quotes", "/QUOTES/A"],
)
async def test_an_upgrade_at_another_address_is_404(running: Running, target: str) -> None:
    status, _ = await running.exchange(head(target))
    assert status == 404
    assert running.service.gateway.opened == 0
    await running.balanced()


async def test_real_clients_see_the_reason_of_a_refusal(running: Running) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect_async(f"{running.ws}/quotes/NOSUCH")
    assert refused.value.response.status_code == 404
    assert b"unknown_symbol" in (refused.value.response.body or b"")
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{running.http}/quotes/AAPL") as answer,
    ):
        assert answer.status == 426
        assert answer.headers["Upgrade"] == "websocket"
        assert (await answer.json())["code"] == "upgrade_required"
    await running.balanced()


async def test_unfinished_heads_time_out(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qcfeed.ws.pending.HEAD_TIMEOUT", 0.5)
    running = await start()
    clients = [await RawClient.connect(running.port) for _ in range(50)]
    for n, client in enumerate(clients):
        client.send(head()[:n])  # nothing at all

    async def dribble() -> None:
        while True:
            await asyncio.sleep(0.1)
            for client in clients[:10]:
                client.send(b"X-Slow: loris\r\n"[:1])

    dribbling = asyncio.create_task(dribble())
    try:
        for client in clients:
            await client.ended()
    finally:
        dribbling.cancel()
        await asyncio.wait([dribbling])
    for client in clients:
        await client.leave()
    await running.balanced()


async def test_a_refused_peer_that_stays_times_out(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qcfeed.ws.pending.HEAD_TIMEOUT", 0.5)
    running = await start()
    async with await RawClient.connect(running.port) as client:
        client.send(head("/quotes/NOSUCH"))
        assert (await client.response()).status == 404
        for _ in range(10):
            client.send(head() * 10)  # it keeps the connection open after the refusal
            await asyncio.sleep(0.01)
        await running.balanced()
        assert running.service.gateway.opened == 0
