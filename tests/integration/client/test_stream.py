"""The client's stream against a real server that misbehaves on purpose."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import aclosing

import pytest
from aiohttp import web

from qcfeed.client import stream as streams
from qcfeed.client.endpoint import Endpoint
from qcfeed.client.gaps import Gap
from qcfeed.client.stream import Connected, Disconnected, Received, StreamEvent, stream
from qcfeed.errors import QcfeedError, UnknownSymbolError, UnreachableError, UsageError
from qcfeed.model import messages
from qcfeed.model.messages import Error, GoingAway, Subscribed
from qcfeed.model.symbol import Symbol
from tests.support.patience import PATIENCE
from tests.support.scripted_server import ScriptedServer, Visit, quote

AAPL, MSFT = Symbol("AAPL"), Symbol("MSFT")


async def take(
    server: ScriptedServer, count: int, symbols: Sequence[Symbol] = (AAPL,)
) -> list[StreamEvent]:
    """The first ``count`` events, without waiting between attempts."""
    taken: list[StreamEvent] = []
    async with (
        asyncio.timeout(PATIENCE),
        aclosing(stream(server.endpoint, symbols, draw=lambda: 0.0)) as events,
    ):
        async for event in events:
            taken.append(event)
            if len(taken) == count:
                break
    return taken


def kinds(events: Sequence[StreamEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


async def test_one_symbol_is_followed_at_its_own_address(server: ScriptedServer) -> None:
    async def script(visit: Visit) -> None:
        await visit.upgrade()
        await visit.socket.send_str('{"type":"subscribed","symbols":[ "AAPL" ]}')
        await visit.stay()

    server.script = script
    connected, received = await take(server, 2)
    assert connected == Connected(f"{server.endpoint}/quotes/AAPL")
    assert received == Received(
        '{"type":"subscribed","symbols":[ "AAPL" ]}', Subscribed(["AAPL"])
    ), "the text is as it came, white space and all"


async def test_several_symbols_are_subscribed_at_stream_and_again_after_a_loss(
    server: ScriptedServer,
) -> None:
    asked = []

    async def script(visit: Visit) -> None:
        await visit.upgrade()
        asked.append(messages.decode_request(await visit.socket.receive_str()))
        await visit.say(quote(visit.number))
        if visit.number == 0:
            visit.cut()
        await visit.stay()

    server.script = script
    events = await take(server, 5, [AAPL, MSFT])
    assert kinds(events) == ["Connected", "Received", "Disconnected", "Connected", "Received"]
    assert [request.symbols for request in asked] == [["AAPL", "MSFT"]] * 2
    assert {visit.request.path for visit in server.visits} == {"/stream"}


async def test_quotes_missed_while_disconnected_are_a_gap_and_the_replayed_quote_no_repeat(
    server: ScriptedServer,
) -> None:
    said = [[quote(1), quote(2)], [quote(2), quote(5, conflated=2)], [quote(9)]]

    async def script(visit: Visit) -> None:
        await visit.upgrade()
        await visit.say(*said[visit.number])
        await visit.close(4408, "too slow")

    server.script = script
    events = await take(server, 10)
    assert kinds(events) == [
        "Connected", "Received", "Received", "Disconnected",
        "Connected", "Received", "Received", "Disconnected",
        "Connected", "Gap",
    ]  # fmt: skip
    assert events[-1] == Gap("AAPL", "a", 6, 9)


async def test_a_draining_server_says_when_to_reconnect(server: ScriptedServer) -> None:
    async def script(visit: Visit) -> None:
        await visit.upgrade()
        if visit.number == 0:
            await visit.say(GoingAway(20))
            await visit.close(1001, "the service leaves")
        await visit.stay()

    server.script = script
    events = await take(server, 4)
    assert kinds(events) == ["Connected", "Received", "Disconnected", "Connected"]
    lost = events[2]
    assert isinstance(lost, Disconnected)
    assert lost.retry_in == 0.02
    assert "1001 (going away)" in lost.reason


@pytest.mark.parametrize(
    ("code", "kind"), [(4004, UnknownSymbolError), (4399, UnreachableError), (1000, QcfeedError)]
)
async def test_final_close_codes_raise(
    server: ScriptedServer, code: int, kind: type[QcfeedError]
) -> None:
    async def script(visit: Visit) -> None:
        await visit.upgrade()
        await visit.close(code, "for good")

    server.script = script
    with pytest.raises(kind, match="for good"):
        await take(server, 2)
    assert len(server.visits) == 1


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(404, "unknown_symbol", UnknownSymbolError), (400, "bad_handshake", UsageError)],
)
async def test_a_refused_upgrade_raises_the_server_s_message(
    server: ScriptedServer, status: int, code: str, kind: type[QcfeedError]
) -> None:
    async def script(_visit: Visit) -> web.Response:
        return web.Response(status=status, body=messages.encode(Error(code, "because I say so")))

    server.script = script
    with pytest.raises(kind, match="because I say so"):
        await take(server, 1)
    assert len(server.visits) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_a_full_server_is_retried_after_retry_after(
    server: ScriptedServer, status: int
) -> None:
    async def script(visit: Visit) -> web.Response | None:
        if visit.number == 0:
            return web.Response(status=status, headers={"Retry-After": "0"}, text="full")
        await visit.upgrade()
        await visit.stay()
        return None

    server.script = script
    refused, connected = await take(server, 2)
    assert refused == Disconnected(f"refused with {status}: full", 0.0)
    assert isinstance(connected, Connected)


async def test_a_retryable_error_message_is_retried(server: ScriptedServer) -> None:
    async def script(visit: Visit) -> None:
        await visit.upgrade()
        if visit.number == 0:
            await visit.say(Error("subscribe_rate", "slowly", AAPL, retryable=True))
        await visit.stay()

    server.script = script
    events = await take(server, 4, [AAPL, MSFT])
    assert kinds(events) == ["Connected", "Received", "Disconnected", "Connected"]


async def test_a_final_error_message_is_yielded_and_then_raised(
    server: ScriptedServer,
) -> None:
    async def script(visit: Visit) -> None:
        await visit.upgrade()
        await visit.say(Error("unknown_symbol", "there is no NOPE", "NOPE"))
        await visit.stay()

    server.script = script
    assert kinds(await take(server, 2, [AAPL, MSFT])) == ["Connected", "Received"]
    with pytest.raises(UnknownSymbolError, match="there is no NOPE"):
        await take(server, 3, [AAPL, MSFT])


async def test_backoff_grows_until_a_message_arrives(server: ScriptedServer) -> None:
    async def script(visit: Visit) -> web.Response | None:
        if visit.number < 3:
            return web.Response(status=503)
        await visit.upgrade()
        await visit.say(quote(1))
        await visit.close(4410)
        return None

    server.script = script
    draw = 0.01  # of 0.5, 1, 2 and again 0.5 seconds
    waits = []
    async with aclosing(stream(server.endpoint, [AAPL], draw=lambda: draw)) as events:
        async for event in events:
            if isinstance(event, Disconnected):
                waits.append(event.retry_in)
                if len(waits) == 4:
                    break
    assert waits == [0.005, 0.01, 0.02, 0.005]


async def test_a_restart_of_the_service_is_survived(server: ScriptedServer) -> None:
    async with (
        asyncio.timeout(PATIENCE),
        aclosing(stream(server.endpoint, [AAPL], draw=lambda: 0.02)) as events,
    ):
        assert isinstance(await anext(events), Connected)
        await server.stop()
        assert isinstance(await anext(events), Disconnected)
        again = await anext(events)
        assert isinstance(again, Disconnected)
        assert "refused" in again.reason
        await server.start()
        while not isinstance(await anext(events), Connected):
            pass


async def test_an_unreachable_server_is_an_error_with_a_hint(server: ScriptedServer) -> None:
    await server.stop()
    with pytest.raises(UnreachableError, match="refused") as caught:
        await take(server, 1)
    assert "qcfeed serve" in str(caught.value.hint)
    await server.start()


async def test_an_unknown_host() -> None:
    events = stream(Endpoint("ws", "no-such-host.invalid", 8006), [AAPL])
    async with aclosing(events):
        with pytest.raises(UnreachableError, match=r"no-such-host\.invalid"):
            await anext(events)


async def test_a_listener_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "CONNECT_TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        events = stream(Endpoint("ws", "127.0.0.1", mute.getsockname()[1]), [AAPL])
        async with aclosing(events):
            with pytest.raises(UnreachableError, match="no answer in time"):
                await anext(events)


@pytest.mark.parametrize("said", ["hello", '{"type":"weather"}', "[]"])
async def test_another_kind_of_server(server: ScriptedServer, said: str) -> None:
    async def script(visit: Visit) -> None:
        await visit.upgrade()
        await visit.socket.send_str(said)
        await visit.stay()

    server.script = script
    with pytest.raises(UnreachableError, match="unknown message"):
        await take(server, 2)


async def test_closing_the_stream_sends_a_close_frame_and_leaves_no_task(
    server: ScriptedServer,
) -> None:
    before = asyncio.all_tasks()
    async with aclosing(stream(server.endpoint, [AAPL])) as events:
        await anext(events)
    async with asyncio.timeout(PATIENCE):
        visit = await server.left.get()
    assert visit.socket.close_code == 1000
    await server.stop()  # joins the server's tasks, so any left are the client's
    assert asyncio.all_tasks() <= before
    await server.start()


@pytest.mark.parametrize(("code", "answer"), [(1006, 1002), (1001, 1001), (4408, 4408)])
async def test_a_close_frame_is_answered_with_its_code_or_as_a_violation(
    server: ScriptedServer, code: int, answer: int
) -> None:
    answers: asyncio.Queue[int | None] = asyncio.Queue()

    async def script(visit: Visit) -> None:
        await visit.upgrade()
        await visit.close(code)
        await answers.put(visit.socket.close_code)

    server.script = script
    _, lost = await take(server, 2)
    assert isinstance(lost, Disconnected)
    assert ("Invalid close code: 1006" in lost.reason) == (answer == 1002), lost.reason
    assert await answers.get() == answer
