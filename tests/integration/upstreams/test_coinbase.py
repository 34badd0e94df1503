"""The Coinbase upstream against a server that speaks its protocol, on loopback sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import NoReturn

import pytest
from aiohttp import web

from qcfeed.diagnostics import orphans
from qcfeed.diagnostics.ledger import Ledger, owned_by
from qcfeed.errors import UnknownSymbolError, UpstreamError
from qcfeed.model.messages import Tick
from qcfeed.model.symbol import Symbol
from qcfeed.upstreams import proxy
from qcfeed.upstreams.coinbase import Coinbase
from qcfeed.upstreams.conformance import KeepingSink
from qcfeed.upstreams.replay import load
from tests.support.coinbase_server import CAPTURE, CoinbaseServer, Message, Script, capture, frames
from tests.support.patience import PATIENCE
from tests.support.ports import refusing_port
from tests.support.sinks import running, until


def written(product: str, base: float = 100.0) -> list[Message]:
    return [
        {"type": "ticker", "product_id": product, "sequence": 7, "price": str(base),
         "trade_id": 1, "time": "2024-03-20T02:14:00.000000Z"},
        {"type": "snapshot", "product_id": product, "time": "2024-03-20T02:15:00.000000Z",
         "bids": [[str(base - 1), "2.5"]], "asks": [[str(base + 1), "3.0"]]},
        {"type": "l2update", "product_id": product, "time": "2024-03-20T02:15:00.050000Z",
         "changes": [["buy", str(base - 0.5), "1"], ["sell", str(base + 2), "1"]]},
    ]  # fmt: skip


def first_ticks(base: float = 100.0) -> list[Tick]:
    return [
        Tick(base - 1, 2.5, base + 1, 3, base, "2024-03-20T02:15:00.000000Z"),
        Tick(base - 0.5, 1, base + 1, 3, base, "2024-03-20T02:15:00.050000Z"),
    ]


SCRIPT: Script = frames([*written("BTC-USD"), *written("ETH-USD", 50.0), *written("SOL-EUR", 9.0)])


@pytest.fixture
async def server() -> AsyncIterator[CoinbaseServer]:
    async with CoinbaseServer(SCRIPT, heartbeat=0.05) as server:
        yield server


@pytest.fixture
async def upstream(server: CoinbaseServer) -> AsyncIterator[Coinbase]:
    before = asyncio.all_tasks()
    upstream = Coinbase(server.url, silence=PATIENCE, draw=lambda: 0.01)
    yield upstream
    await upstream.close()
    await until(lambda: not server.open)
    left = {task for task in asyncio.all_tasks() - before if "coinbase" in task.get_name()}
    assert not left


async def loss(task: asyncio.Task[None]) -> str:
    """Wait until the feed reports a loss, and return its message."""
    async with asyncio.timeout(PATIENCE):
        await asyncio.wait((task,))
    with pytest.raises(UpstreamError) as caught:
        task.result()
    return caught.value.message


def pass_time(upstream: Coinbase, product: str, seconds: float) -> float:
    """Let the last message about ``product`` be this many seconds older; returns its time."""
    feed = upstream.subscribed.get(product)
    if feed is None:
        return 0.0
    feed.last_message_at -= seconds
    return feed.last_message_at


class TestDemand:
    async def test_quotes_come_from_the_book_and_the_ticker(self, upstream: Coinbase) -> None:
        async with running(upstream, "BTC-USD") as (sink, _):
            await sink.until_ticks(2)
            assert sink.opens == 1
            assert upstream.health().connected
        assert sink.ticks == first_ticks()

    async def test_one_connection_opens_with_the_first_feed_and_closes_with_the_last(
        self, server: CoinbaseServer, upstream: Coinbase
    ) -> None:
        assert not server.open
        async with running(upstream, "BTC-USD") as (one, _):
            await one.until_ticks(1)
            async with running(upstream, "ETH-USD") as (two, _):
                await two.until_ticks(2)
                assert server.held == {"BTC-USD", "ETH-USD"}
            await until(lambda: server.held == {"BTC-USD"})
        await until(lambda: not server.open)
        assert server.accepted == 1
        assert upstream.health().detail == "not needed now"
        assert upstream.health().reconnects == 0
        assert two.ticks == first_ticks(50.0)

    async def test_known_products_that_start_together_share_a_message(
        self, server: CoinbaseServer, upstream: Coinbase
    ) -> None:
        async with contextlib.AsyncExitStack() as stack:
            feeds = [await stack.enter_async_context(running(upstream, name)) for name in SCRIPT]
            for sink, _ in feeds:
                await sink.until_ticks(2)
            async with asyncio.timeout(PATIENCE):
                server.drop()
                await asyncio.wait([task for _, task in feeds])
        async with contextlib.AsyncExitStack() as stack:
            feeds = [await stack.enter_async_context(running(upstream, name)) for name in SCRIPT]
            for sink, _ in feeds:
                await sink.until_ticks(2)
        asked = [request["product_ids"] for request in server.requests]
        assert asked[:3] == [["BTC-USD"], ["ETH-USD"], ["SOL-EUR"]]
        assert asked[3:] == [["BTC-USD", "ETH-USD", "SOL-EUR"]]

    async def test_a_reopened_feed_gets_a_new_book(
        self, server: CoinbaseServer, upstream: Coinbase
    ) -> None:
        async with running(upstream, "ETH-USD"):
            for _ in range(3):
                async with running(upstream, "BTC-USD") as (sink, _task):
                    await sink.until_ticks(2)
                assert sink.ticks[:2] == first_ticks()
        assert server.accepted == 1

    async def test_nothing_is_published_to_a_feed_that_left(
        self, server: CoinbaseServer, upstream: Coinbase
    ) -> None:
        async with running(upstream, "ETH-USD") as (other, _):
            async with running(upstream, "BTC-USD") as (sink, _task):
                await sink.until_ticks(2)
                await other.until_ticks(2)
            count = len(sink.ticks)
            change = {"type": "l2update", "time": "2024-03-20T02:15:09Z"}
            for product, bid in (("BTC-USD", "99.9"), ("ETH-USD", "49.9")):
                # before the unsubscription is even sent
                await server.say({**change, "product_id": product, "changes": [["buy", bid, "1"]]})
            await other.until_ticks(3)
            assert len(sink.ticks) == count

    async def test_random_demand_leaves_nothing_behind(
        self, server: CoinbaseServer, upstream: Coinbase
    ) -> None:
        for turns in range(40):
            async with running(upstream, "BTC-USD"):
                for _ in range(turns):
                    await asyncio.sleep(0)
                async with running(upstream, "ETH-USD"):
                    await asyncio.sleep(0.0005 * turns)
        async with running(upstream, "BTC-USD") as (sink, _):
            await sink.until_ticks(2)
        assert sink.ticks[:2] == first_ticks()

    async def test_the_next_connection_waits_for_the_end_of_the_last(
        self, server: CoinbaseServer
    ) -> None:
        class SlowGoodbye(Coinbase):
            inside = most = 0

            async def _exchange(self) -> NoReturn:
                self.inside += 1
                self.most = max(self.most, self.inside)
                try:
                    await super()._exchange()
                finally:
                    await asyncio.sleep(0.05)
                    self.inside -= 1

        upstream = SlowGoodbye(server.url)
        tasks = []
        for _ in range(3):
            sink = KeepingSink()
            tasks.append(asyncio.create_task(upstream.run(Symbol("BTC-USD"), sink)))
            await sink.until_ticks(2)
            tasks[-1].cancel()
        await asyncio.wait(tasks)
        assert server.accepted == 3
        assert upstream.most == 1
        assert upstream.inside == 0

    async def test_the_connection_does_not_belong_to_the_feed_that_started_it(
        self, upstream: Coinbase
    ) -> None:
        class Owner:
            closed = False

        loop, ledger, owner = asyncio.get_running_loop(), Ledger(), Owner()
        ledger.install(loop)
        try:
            with owned_by(owner):
                feed = running(upstream, "BTC-USD")
                sink, _ = await feed.__aenter__()
            async with running(upstream, "ETH-USD"):
                await sink.until_ticks(2)
                await feed.__aexit__(None, None, None)
                owner.closed = True
                assert upstream.health().connected
                assert not orphans.find(ledger, loop.time())
        finally:
            ledger.uninstall()


class TestLoss:
    @pytest.mark.parametrize("how", ["cut", "closed"])
    async def test_every_feed_fails_and_one_new_connection_is_made(
        self, server: CoinbaseServer, upstream: Coinbase, how: str
    ) -> None:
        btc, eth = running(upstream, "BTC-USD"), running(upstream, "ETH-USD")
        async with btc as (one, first), eth as (two, second):
            await one.until_ticks(2)
            await two.until_ticks(2)
            if how == "cut":
                server.drop()
            else:
                await server.close(1012)
            assert "closed the connection" in await loss(first)
            assert "closed the connection" in await loss(second)
            assert not upstream.health().connected
            assert "closed the connection" in upstream.health().detail
        btc, eth = running(upstream, "BTC-USD"), running(upstream, "ETH-USD")
        async with btc as (one, _), eth as (two, _):
            await one.until_ticks(2)
            await two.until_ticks(2)
            assert one.ticks == first_ticks()
            assert upstream.health().reconnects == 1
        assert {request["type"] for request in server.requests[:-1]} == {"subscribe"}
        assert server.accepted == 2

    async def test_many_feeds_that_retry_make_one_attempt_at_a_time(
        self, server: CoinbaseServer
    ) -> None:
        attempts = 0

        async def refuse(_: web.Request) -> web.Response:
            nonlocal attempts
            attempts += 1
            return web.Response(status=503)

        async with serving(refuse) as url:
            upstream = Coinbase(url, draw=lambda: 0.2)

            async def retry(symbol: str) -> int:
                tries = 0
                while attempts < 4:
                    with pytest.raises(UpstreamError, match="503"):
                        await upstream.run(Symbol(symbol), KeepingSink())
                    tries += 1
                return tries

            tries = await asyncio.gather(*(retry(f"P{n}-USD") for n in range(200)))
            await upstream.close()
        # No feed is kept out, and none makes an attempt of its own.
        assert attempts == 4
        assert all(2 <= count <= 4 for count in tries)

    async def test_silence_on_the_connection(self, server: CoinbaseServer) -> None:
        upstream = Coinbase(server.url, silence=PATIENCE, draw=lambda: 0.0)
        async with running(upstream, "BTC-USD") as (sink, task):
            await sink.until_ticks(2)
            server.muted.add(None)
            upstream.silence = 0.4
            assert "silent for 0.4 s" in await loss(task)
        server.muted.clear()
        upstream.silence = PATIENCE
        async with running(upstream, "BTC-USD") as (sink, task):
            await sink.until_ticks(2)
        await upstream.close()

    async def test_silence_of_one_product_ends_only_its_feed(self, server: CoinbaseServer) -> None:
        upstream = Coinbase(server.url, silence=PATIENCE)
        async with running(upstream, "ETH-USD") as (sink, well):
            async with running(upstream, "BTC-USD") as (other, ill):
                await sink.until_ticks(2)
                await other.until_ticks(2)
                server.muted.add("BTC-USD")

                def over() -> bool:  # messages under way may still arrive
                    pass_time(upstream, "BTC-USD", PATIENCE)
                    return ill.done()

                await until(over)
                assert f"no message about BTC-USD for {PATIENCE:g} s" in await loss(ill)
            await until(lambda: server.held == {"ETH-USD"})
            assert not well.done()
            assert upstream.health().connected
        await upstream.close()

    async def test_heartbeats_keep_a_quiet_product_alive(self, server: CoinbaseServer) -> None:
        upstream = Coinbase(server.url, silence=PATIENCE)
        async with running(upstream, "BTC-USD") as (sink, task):
            await sink.until_ticks(2)
            for _ in range(5):
                heard = pass_time(upstream, "BTC-USD", PATIENCE / 2)
                await until(
                    lambda heard=heard: upstream.subscribed["BTC-USD"].last_message_at > heard
                )
            assert not task.done()
            assert len(sink.ticks) == 2
        await upstream.close()

    async def test_missed_trades_are_a_gap_and_the_product_is_resubscribed(
        self, server: CoinbaseServer, upstream: Coinbase
    ) -> None:
        beat = {"type": "heartbeat", "product_id": "BTC-USD", "sequence": 9, "last_trade_id": 4}
        async with running(upstream, "ETH-USD") as (_, other):
            async with running(upstream, "BTC-USD") as (sink, task):
                await sink.until_ticks(2)
                await server.say(beat)
                await server.say(beat)
                assert await loss(task) == "3 trades did not arrive"
                assert upstream.health().gaps == 1
                assert upstream.health().connected
            async with running(upstream, "BTC-USD") as (sink, _):
                await sink.until_ticks(2)
                assert sink.ticks == first_ticks()
            assert not other.done()
        assert server.accepted == 1

    @pytest.mark.parametrize(
        ("frame", "said"),
        [
            ("{nonsense", "invalid message"),
            ("[]", "invalid message"),
            (b"\x00\x01", "binary"),
            ("x" * (33 * 1024 * 1024), "Message size"),
            ({"type": "error", "message": "Slow consumer", "reason": "too slow"}, "too slow"),
        ],
        ids=["rubbish", "no object", "binary", "huge", "error"],
    )  # fmt: skip
    async def test_invalid_messages_end_the_connection(
        self, server: CoinbaseServer, upstream: Coinbase, frame: str | bytes | Message, said: str
    ) -> None:
        async with running(upstream, "BTC-USD") as (sink, task):
            await sink.until_ticks(2)
            await server.say(frame)
            assert said in await loss(task)
        async with running(upstream, "BTC-USD") as (sink, _):
            await sink.until_ticks(2)

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ([["buy", "1_0", "1"]], "invalid message"),
            ([["buy", "9" * 4_000, "1"]], "invalid message"),
            (
                [["buy", str(n), "1"] for n in range(300_000, 1, -1)],
                "invalid message",
            ),
            ([["buy", "150", "1"]], "the book is crossed, bid 150 over ask 101"),
        ],
        ids=["no number", "long number", "too many levels", "crossed"],
    )
    async def test_a_fault_of_one_product_is_counted_and_resubscribes_that_product_only(
        self, server: CoinbaseServer, upstream: Coinbase, changes: list[list[str]], why: str
    ) -> None:
        bad = {"type": "l2update", "product_id": "BTC-USD", "time": "2024-03-20T02:15:09Z"}
        async with running(upstream, "ETH-USD") as (_, other):
            async with running(upstream, "BTC-USD") as (sink, task):
                await sink.until_ticks(2)
                await server.say({**bad, "changes": changes})
                assert why in await loss(task)
                assert sink.ticks == first_ticks()
                health = upstream.health()
                assert health.connected
                assert health.gaps + health.invalid_messages == 1
            async with running(upstream, "BTC-USD") as (sink, _):
                await sink.until_ticks(2)
                assert sink.ticks == first_ticks()
            assert not other.done()
        assert server.accepted == 1

    async def test_a_product_that_has_never_traded_costs_nobody_anything(
        self, server: CoinbaseServer, upstream: Coinbase, caplog: pytest.LogCaptureFixture
    ) -> None:
        empty = {"type": "snapshot", "product_id": "NEW-USD", "bids": [], "asks": []}
        server.script = {**SCRIPT, "NEW-USD": [(0.0, empty)]}
        async with (
            running(upstream, "BTC-USD") as (sink, task),
            running(upstream, "NEW-USD") as (new, untraded),
        ):
            await sink.until_ticks(2)
            await until(lambda: new.opens == 1)
            for _ in range(3):
                await server.say({"type": "ticker", "product_id": "NEW-USD", "price": "0"})
            change = {"type": "l2update", "time": "2024-03-20T02:15:09Z"}
            for product in ("BTC-USD", "NEW-USD"):
                await server.say(
                    {**change, "product_id": product, "changes": [["buy", "99.9", "1"]]}
                )
            await sink.until_ticks(3)
            await new.until_ticks(1)
            assert [tick.bid for tick in new.ticks] == [99.9]
            assert upstream.health().invalid_messages == 3
            assert not task.done()
            assert not untraded.done()
        assert server.accepted == 1
        assert caplog.text.count("NEW-USD: passed over an invalid message") == 1

    async def test_unknown_messages_are_ignored(
        self, server: CoinbaseServer, upstream: Coinbase
    ) -> None:
        async with running(upstream, "BTC-USD") as (sink, task):
            await sink.until_ticks(2)
            await server.say({"type": "status", "products": []})
            for message in written("ETH-USD"):
                await server.say(message)
            change = {"type": "l2update", "product_id": "BTC-USD", "time": "2024-03-20T02:15:09Z"}
            await server.say({**change, "changes": [["sell", "100.5", "1"]]})
            await sink.until_ticks(3)
            assert sink.ticks[-1] == Tick(99.5, 1, 100.5, 1, 100.0, "2024-03-20T02:15:09Z")
            assert not task.done()


class TestRefusal:
    async def test_an_unknown_product_is_refused_and_the_others_are_served(
        self, server: CoinbaseServer, upstream: Coinbase
    ) -> None:
        names = ("BTC-USD", "FOO-USD", "BAR-USD")
        good, *bad = (running(upstream, name) for name in names)
        async with good as (sink, _), bad[0] as (_, foo), bad[1] as (_, bar):
            for task, name in ((foo, "FOO-USD"), (bar, "BAR-USD")):
                await asyncio.wait((task,), timeout=PATIENCE)
                with pytest.raises(UnknownSymbolError, match=f"{name} is not a valid product"):
                    task.result()
            await sink.until_ticks(2)
        assert sink.ticks[:2] == first_ticks()
        assert server.accepted == 1

    async def test_a_bad_name_costs_the_others_no_round_trip(
        self, server: CoinbaseServer, upstream: Coinbase
    ) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for number in range(6):
                await stack.enter_async_context(running(upstream, f"BAD{number}-USD"))
            sink, _ = await stack.enter_async_context(running(upstream, "BTC-USD"))
            await sink.until_ticks(2)
        asked = [request["product_ids"] for request in server.requests]
        assert asked.count(["BTC-USD"]) == 1
        assert all(len(each) == 1 for each in asked)

    async def test_a_refused_group_is_requested_again_without_the_product_that_is_gone(
        self, server: CoinbaseServer, upstream: Coinbase
    ) -> None:
        """Known products share a request; one of them has been delisted in the meantime.

        While it is answered, the answer to an older request lists one of them.
        """
        for product in ("BTC-USD", "ETH-USD"):
            async with running(upstream, product) as (sink, _):
                await sink.until_ticks(2)
        server.script = {name: script for name, script in SCRIPT.items() if name != "ETH-USD"}
        listed = {"type": "subscriptions", "channels": [{"name": "x", "product_ids": ["BTC-USD"]}]}
        async with running(upstream, "SOL-EUR") as (other, served):
            await other.until_ticks(2)
            btc, eth = running(upstream, "BTC-USD"), running(upstream, "ETH-USD")
            async with btc as (sink, _), eth as (_, gone):
                await server.say(listed)
                await asyncio.wait((gone,), timeout=PATIENCE)
                with pytest.raises(UnknownSymbolError):
                    gone.result()
                await sink.until_ticks(2)
            assert not served.done()
        assert ["BTC-USD", "ETH-USD"] in [request["product_ids"] for request in server.requests]

    async def test_a_long_reason_names_the_product_and_costs_little(
        self, server: CoinbaseServer, upstream: Coinbase
    ) -> None:
        async with running(upstream, "ETH-USD") as (sink, served):
            await sink.until_ticks(2)
            server.refuse_all = "A" * 150_000 + " BTC-USD is not a valid product"
            async with running(upstream, "BTC-USD") as (_, task):
                await asyncio.wait((task,), timeout=PATIENCE)
                with pytest.raises(UnknownSymbolError) as caught:
                    task.result()
            assert len(caught.value.message) < 400
            assert not served.done()

    async def test_a_refusal_without_a_product_ends_all_waiting_feeds(
        self, server: CoinbaseServer, upstream: Coinbase
    ) -> None:
        async with running(upstream, "BTC-USD") as (sink, served):
            await sink.until_ticks(2)
            server.refuse_all = "too many subscriptions"
            async with running(upstream, "ETH-USD") as (_, task):
                assert "too many subscriptions" in await loss(task)
            assert not served.done()


@contextlib.asynccontextmanager
async def serving(handler: object) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/", handler)  # type: ignore[arg-type]
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


class TestProductList:
    async def test_a_product_that_is_not_listed_is_unknown(self, server: CoinbaseServer) -> None:
        async def answer(_: web.Request) -> web.Response:
            return web.json_response([{"id": "BTC-USD", "status": "online"}, {"id": "ETH-USD"}])

        async with serving(answer) as url:
            upstream = Coinbase(server.url, products=url.replace("ws:", "http:"))
            assert upstream.knows(Symbol("FOO-USD"))
            async with running(upstream, "BTC-USD"):
                await until(lambda: not upstream.knows(Symbol("FOO-USD")))
            assert upstream.knows(Symbol("ETH-USD"))
            await upstream.close()

    @pytest.mark.parametrize(
        "body",
        [b"null", b"<html>", b'[{"id":7}]', b"[" * 200_000, b" " * 9_000_000],
        ids=["null", "page", "number", "deep", "long"],
    )
    async def test_a_list_of_another_form_is_no_list(
        self, server: CoinbaseServer, body: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(body=body)

        async with serving(answer) as url:
            upstream = Coinbase(server.url, products=url.replace("ws:", "http:"))
            async with running(upstream, "BTC-USD") as (sink, task):
                await sink.until_ticks(2)
                await until(lambda: "cannot read the list of products" in caplog.text)
                assert not task.done()
            assert upstream.knows(Symbol("FOO-USD"))
            await upstream.close()


class TestProxy:
    async def test_https_proxy_is_asked_to_connect(self, monkeypatch: pytest.MonkeyPatch) -> None:
        heard: list[bytes] = []

        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            writer.close()
            await writer.wait_closed()

        listening = await asyncio.start_server(proxy, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:t0p-s3cret@127.0.0.1:{port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        upstream = Coinbase("wss://feed.invalid/")
        async with running(upstream, "BTC-USD") as (_, task):
            message = await loss(task)
        await upstream.close()
        listening.close()
        await listening.wait_closed()
        assert heard[0].startswith(b"CONNECT feed.invalid:443 HTTP/1.1\r\n")
        assert b"Basic bWU6dDBwLXMzY3JldA==" in heard[0]
        assert "407" in message
        assert "s3cret" not in message + str(upstream.health())

    @pytest.mark.parametrize(
        ("variables", "target", "url"),
        [
            ({"HTTPS_PROXY": "http://p:1"}, "wss://h/", "http://p:1"),
            ({"https_proxy": "p:1"}, "wss://h/", "http://p:1"),
            ({"HTTPS_PROXY": "http://p:1"}, "ws://h/", None),
            ({"ALL_PROXY": "http://p:1"}, "ws://h/", "http://p:1"),
            ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "h"}, "wss://h:5/", None),
            ({}, "wss://h/", None),
        ],
    )
    def test_the_environment_names_the_proxy(
        self,
        monkeypatch: pytest.MonkeyPatch,
        variables: dict[str, str],
        target: str,
        url: str | None,
    ) -> None:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.lower(), raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert proxy.find(target).url == url

    def test_another_kind_of_proxy_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "socks5://me:s3cret@p:1")
        with pytest.raises(UpstreamError, match="not supported: socks5://"):
            proxy.find("wss://h.invalid/")


class TestNoConnection:
    async def failure_of(self, url: str) -> str:
        upstream = Coinbase(url)
        async with running(upstream, "BTC-USD") as (sink, task):
            message = await loss(task)
            assert sink.opens == 0
            assert not upstream.health().connected
            assert upstream.health().detail == message
        await upstream.close()
        return message

    async def test_a_refused_connection_is_an_upstream_error(self) -> None:
        with refusing_port() as port:
            url = f"ws://127.0.0.1:{port}/"
            assert f"cannot connect to {url}" in await self.failure_of(url)

    async def test_an_unknown_host(self) -> None:
        assert "cannot connect" in await self.failure_of("ws://no.such.host.invalid/")

    async def test_no_tls_behind_wss(self, server: CoinbaseServer) -> None:
        assert "cannot connect" in await self.failure_of(server.url.replace("ws:", "wss:"))

    async def test_no_websocket(self) -> None:
        async def hello(_: web.Request) -> web.Response:
            return web.Response(text="hello")

        async with serving(hello) as url:
            assert "200" in await self.failure_of(url)


@pytest.mark.skipif(not CAPTURE.exists(), reason=f"no capture at {CAPTURE}")
async def test_the_capture_end_to_end() -> None:
    """All ten products at once, over the wire, give the same ticks as the recording."""
    wanted, _ = load(CAPTURE)
    async with CoinbaseServer(capture(), speed=30.0, heartbeat=0.2) as server:
        upstream = Coinbase(server.url)
        async with contextlib.AsyncExitStack() as stack:
            sinks = {
                symbol: (await stack.enter_async_context(running(upstream, symbol)))[0]
                for symbol in wanted
            }
            for symbol, sink in sinks.items():
                await sink.until_ticks(len(wanted[symbol].ticks))
            assert upstream.health().gaps == 0
        await upstream.close()
        assert server.accepted == 1
    for symbol, sink in sinks.items():
        # Without times: a snapshot of this capture has none, so it is stamped on receipt.
        got = [(t.bid, t.bid_size, t.ask, t.ask_size, t.last) for t in sink.ticks]
        assert got == [(t.bid, t.bid_size, t.ask, t.ask_size, t.last) for t in wanted[symbol].ticks]
