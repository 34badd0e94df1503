"""Quotes are sent without delay when idle, and in one write per connection and turn of the loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from selectors import BaseSelector

import pytest

from qcfeed.net.transport import Transport
from tests.integration.service.conftest import Start
from tests.support.frames import quotes
from tests.support.patience import PATIENCE
from tests.support.raw_websocket import head, request
from tests.support.running_service import Running, until
from tests.support.scripted_upstream import TICK, ScriptedUpstream, silently


@pytest.fixture
def upstream(upstream: ScriptedUpstream) -> ScriptedUpstream:
    upstream.life = silently
    return upstream


class Writes(list[bytes]):
    """Every write to the connections' transports."""

    waited: list[float | None]
    """The loop's wait timeouts, turn by turn, with WRITTEN at each write."""

    def __init__(self) -> None:
        super().__init__()
        self.waited = []


WRITTEN = -1.0


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Writes:
    seen, write, push = Writes(), Transport.write, Transport.push

    def note(data: bytes) -> None:
        seen.append(data)
        seen.waited.append(WRITTEN)

    def noted_write(self: Transport, data: bytes, flags: int = 0) -> None:
        note(data)
        write(self, data, flags)

    def noted_push(self: Transport) -> Callable[[bytes], int]:
        def give(data: bytes) -> int:
            note(data)
            return send(data)

        send = push.__get__(self)
        return give

    monkeypatch.setattr(Transport, "write", noted_write)
    monkeypatch.setattr(Transport, "push", property(noted_push))
    return seen


def note_waits(writes: Writes, monkeypatch: pytest.MonkeyPatch) -> None:
    selector: BaseSelector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
    select = selector.select

    def spy(timeout: float | None = None) -> object:
        writes.waited.append(timeout)
        return select(timeout)

    monkeypatch.setattr(selector, "select", spy)


async def test_a_quote_is_sent_before_the_loop_waits_again(
    start: Start, upstream: ScriptedUpstream, writes: Writes, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await start()
    async with await running.client():
        await until(lambda: upstream.sinks, "its feed is open")
        note_waits(writes, monkeypatch)
        for seq in range(1, 4):
            await asyncio.sleep(0.01)
            writes.clear()
            writes.waited.clear()
            upstream.sinks[0].publish([TICK])
            await until(lambda: writes, "it is written")
            assert [quote.seq for quote in quotes(writes[0])] == [seq]
            before = writes.waited[: writes.waited.index(WRITTEN)]
            assert set(before) == {0}, "the loop slept on a quote"
    await running.balanced()


async def test_a_quote_reaches_the_peer_one_turn_after_publishing(
    start: Start, upstream: ScriptedUpstream
) -> None:
    """The peer's socket has the data while the loop is blocked."""
    running = await start()
    with socket.create_connection(("127.0.0.1", running.port)) as peer:
        peer.sendall(head())
        await until(lambda: upstream.sinks, "its feed is open")
        peer.recv(65_536)
        peer.setblocking(False)
        upstream.sinks[0].publish([TICK])
        with pytest.raises(BlockingIOError):
            peer.recv(65_536)
        await asyncio.sleep(0)
        peer.settimeout(PATIENCE)  # time for the kernel; this blocks the loop
        assert [quote.seq for quote in quotes(peer.recv(65_536))] == [1]
    await running.balanced()


async def test_all_symbols_of_a_connection_are_sent_in_one_write(
    start: Start, upstream: ScriptedUpstream, writes: Writes
) -> None:
    running = await start()
    names = [f"S{n}" for n in range(50)]
    with socket.create_connection(("127.0.0.1", running.port)) as peer:
        peer.sendall(head("/stream") + request("subscribe", *names))
        await until(lambda: len(upstream.sinks) == 50, "all feeds are open")
        writes.clear()
        for sink in upstream.sinks:
            sink.publish([TICK])
            sink.publish([TICK])
        await asyncio.sleep(0)
        (only,) = writes
        assert [(quote.symbol, quote.seq) for quote in quotes(only)] == [
            (name, seq) for name in names for seq in (1, 2)
        ]
        await _only_bounded_writes(running, upstream, writes)
    await running.balanced()


async def _only_bounded_writes(
    running: Running, upstream: ScriptedUpstream, writes: Writes
) -> None:
    """A megabyte for one connection in one turn is split into several writes."""
    writes.clear()
    for sink in upstream.sinks:
        sink.publish([TICK] * 100)
    await asyncio.sleep(0)
    piece = running.service.config.send_buffer
    assert writes
    assert max(map(len, writes)) < piece + 100 * 200
