"""The conformance test catches what it is for: each upstream here breaks one rule."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import unittest
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from qcfeed.errors import UnknownSymbolError
from qcfeed.model.messages import Tick
from qcfeed.model.symbol import Symbol
from qcfeed.upstreams.base import Sink, Upstream, UpstreamHealth
from qcfeed.upstreams.conformance import UpstreamConformance
from qcfeed.upstreams.timestamps import Timestamps

TIMES = Timestamps()


def tick(ts: str | None = None, last: float = 1.0) -> Tick:
    return Tick(None, None, None, None, last, ts or TIMES())


class Sound(Upstream):
    """Keeps every rule; the others override one piece of it."""

    name = "sound:"

    def knows(self, symbol: Symbol) -> bool:
        return symbol != "NOPE"

    async def run(self, symbol: Symbol, sink: Sink) -> None:
        if not self.knows(symbol):
            raise UnknownSymbolError(f"no {symbol}")
        await self.publish(sink)

    async def publish(self, sink: Sink) -> None:
        sink.opened()
        while True:
            sink.publish([tick()])
            await asyncio.sleep(0.001)


class Ends(Sound):
    async def publish(self, sink: Sink) -> None:
        sink.opened()
        sink.publish([tick()])


class IsQuiet(Sound):
    async def publish(self, sink: Sink) -> None:
        sink.opened()
        await asyncio.get_running_loop().create_future()


class OpensLate(Sound):
    async def publish(self, sink: Sink) -> None:
        sink.publish([tick()])
        await super().publish(sink)


class OpensTwice(Sound):
    async def publish(self, sink: Sink) -> None:
        sink.opened()
        await super().publish(sink)


class PublishesNothing(Sound):
    async def publish(self, sink: Sink) -> None:
        sink.opened()
        sink.publish([])
        await super().publish(_Opened(sink))


class _Opened:
    def __init__(self, sink: Sink) -> None:
        self.publish, self.ready = sink.publish, sink.ready

    def opened(self) -> None:
        """It was before."""


class PublishesOther(Sound):
    ticks: Sequence[object] = ()

    async def publish(self, sink: Sink) -> None:
        sink.opened()
        while True:
            for each in self.ticks:
                sink.publish([each])  # type: ignore[list-item]
                await asyncio.sleep(0.001)


class PublishesADict(PublishesOther):
    ticks = ({"last": 1.0},)


class PublishesAnInvalidPrice(PublishesOther):
    ticks = (tick(last=-1.0),)


class PublishesAnInvalidTime(PublishesOther):
    ticks = (tick("today"),)


class GoesBackInTime(PublishesOther):
    ticks = (tick("2024-03-20T02:15:20.5Z"), tick("2024-03-20T02:15:00Z"))


class IsAheadOfTime(PublishesOther):
    ticks = (tick("2199-03-20T02:15:00Z"),)


class PublishesInAThread(Sound):
    async def publish(self, sink: Sink) -> None:
        sink.opened()
        while True:
            await asyncio.to_thread(sink.publish, [tick()])


class SwallowsCancellation(Sound):
    async def publish(self, sink: Sink) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await super().publish(sink)


class IgnoresCancellation(Sound):
    async def publish(self, sink: Sink) -> None:
        sink.opened()
        for _ in range(500):
            sink.publish([tick()])
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.001)


class PublishesAfterTheEnd(Sound):
    async def publish(self, sink: Sink) -> None:
        try:
            await super().publish(sink)
        finally:
            asyncio.get_running_loop().call_later(0.01, sink.publish, [tick()])


class KeepsATask(Sound):
    def __init__(self) -> None:
        self.kept: list[asyncio.Task[None]] = []

    async def publish(self, sink: Sink) -> None:
        self.kept.append(asyncio.create_task(asyncio.sleep(60), name="forgotten"))
        await super().publish(sink)


class ClosesWithoutJoining(KeepsATask):
    async def close(self) -> None:
        for task in self.kept:
            task.cancel()


class AddsUp(KeepsATask):
    async def close(self) -> None:
        for task in self.kept:
            task.cancel()
        await asyncio.gather(*self.kept, return_exceptions=True)


class KeepsASocket(Sound):
    held: socket.socket

    async def publish(self, sink: Sink) -> None:
        KeepsASocket.held = socket.socket()
        await super().publish(sink)


class NeverCloses(Sound):
    async def close(self) -> None:
        await asyncio.get_running_loop().create_future()


class ClosesOnce(Sound):
    closed = False

    async def close(self) -> None:
        if self.closed:
            raise AssertionError("closed before")
        self.closed = True


class OpensOnce(Sound):
    opened: set[Symbol]

    def __init__(self) -> None:
        self.opened = set()

    async def run(self, symbol: Symbol, sink: Sink) -> None:
        if symbol in self.opened:
            await asyncio.get_running_loop().create_future()
        self.opened.add(symbol)
        await super().run(symbol, sink)


class EndsTheOther(Sound):
    def __init__(self) -> None:
        self.runs: list[asyncio.Task[None] | None] = []

    async def run(self, symbol: Symbol, sink: Sink) -> None:
        for other in self.runs:
            if other is not None:
                other.cancel()
        self.runs.append(asyncio.current_task())
        await super().run(symbol, sink)


class RaisesKeyError(Sound):
    async def run(self, symbol: Symbol, sink: Sink) -> None:
        if symbol == "NOPE":
            raise KeyError(symbol)
        await super().run(symbol, sink)


class OpensTheUnknown(Sound):
    async def run(self, symbol: Symbol, sink: Sink) -> None:
        if symbol == "NOPE":
            sink.opened()
        await super().run(symbol, sink)


class NeedsTheLoopForHealth(Sound):
    def health(self) -> UpstreamHealth:
        asyncio.get_running_loop()
        return super().health()


class IsNeverConnected(Sound):
    def health(self) -> UpstreamHealth:
        return UpstreamHealth(connected=False)


class TellsHealthAsText(Sound):
    def health(self) -> UpstreamHealth:
        return "fine"  # type: ignore[return-value]


class KnowsLess(Sound):
    def symbols(self) -> Sequence[Symbol]:
        return (Symbol("AAPL"), Symbol("NOPE"))


class ListsLowerCase(Sound):
    def symbols(self) -> Sequence[Symbol]:
        return (Symbol("aapl"),)


class HasTwoLines(Sound):
    name = "sound:\n"


class HasNoName(Sound):
    name = ""


def suite(upstream: Callable[[], Upstream]) -> UpstreamConformance:
    class Suite(UpstreamConformance):
        symbols = ("AAPL", "MSFT")
        unknown = "NOPE"
        patience = 0.3

        @contextlib.asynccontextmanager
        async def connect(self) -> AsyncIterator[Upstream]:
            yield upstream()

    return Suite()


CHECKS = [name for name in dir(UpstreamConformance) if name.startswith("test_")]
OPENS = "test_a_feed_opens_once_and_then_publishes_valid_ticks"
CANCELLED = "test_nothing_is_published_after_a_feed_was_cancelled"
CLOSES = "test_close_ends_everything_and_can_be_called_twice"
UNKNOWN = "test_an_unknown_symbol_is_refused"
HEALTH = "test_health_is_told_in_any_thread"
KNOWS = "test_it_knows_its_symbols"


@pytest.mark.parametrize("check", CHECKS)
def test_a_sound_upstream_passes(check: str) -> None:
    sound = suite(Sound)
    sound.patience = 60.0
    with contextlib.suppress(unittest.SkipTest):
        getattr(sound, check)()


@pytest.mark.parametrize(
    ("upstream", "check", "said"),
    [
        (Ends, OPENS, "run() ended instead of publishing: 'returned'"),
        (IsQuiet, OPENS, "0 ticks within 0.3 s, 2 were expected"),
        (OpensLate, OPENS, "publish() was called before opened()"),
        (OpensTwice, OPENS, "opened() was called twice"),
        (PublishesNothing, OPENS, "without ticks"),
        (PublishesADict, OPENS, "a dict was published, not a Tick"),
        (PublishesAnInvalidPrice, OPENS, "a tick is invalid: last -1"),
        (PublishesAnInvalidTime, OPENS, "a tick is invalid: time 'today'"),
        (GoesBackInTime, OPENS, "a tick of 2024-03-20T02:15:00Z was published after"),
        (IsAheadOfTime, OPENS, "a tick of the future"),
        (PublishesInAThread, OPENS, "in another thread"),
        (SwallowsCancellation, CANCELLED, "did not let CancelledError pass"),
        (IgnoresCancellation, CANCELLED, "run() did not end within 0.3 s after its cancellation"),
        (PublishesAfterTheEnd, CANCELLED, "after the feed's task had ended"),
        (KeepsATask, CANCELLED, "after close(), tasks still run: forgotten"),
        (ClosesWithoutJoining, CANCELLED, "after close(), tasks still run: forgotten"),
        (AddsUp, "test_many_feeds_leave_no_tasks", "tasks after each round of feeds: [2, 4"),
        (NeverCloses, CLOSES, "close() did not return in 0.3 s"),
        (ClosesOnce, CLOSES, "closed before"),
        (OpensOnce, "test_a_symbol_can_be_opened_again", "0 ticks within 0.3 s"),
        (EndsTheOther, "test_feeds_do_not_disturb_each_other", "was cancelled"),
        (RaisesKeyError, UNKNOWN, "must raise UnknownSymbolError; it gave KeyError('NOPE')"),
        (OpensTheUnknown, UNKNOWN, "opened() was called for NOPE"),
        (IsNeverConnected, HEALTH, "not connected, but quotes arrive"),
        (TellsHealthAsText, HEALTH, "health() returned 'fine'"),
        (KnowsLess, KNOWS, "knows('NOPE') is not True"),
        (ListsLowerCase, KNOWS, "symbols are upper-case, 'aapl' is not"),
        (HasTwoLines, "test_its_name_is_a_printable_line", "is not printable"),
        (HasNoName, "test_its_name_is_a_printable_line", "the name is empty"),
    ],
)
def test_an_upstream_that_breaks_a_rule_fails(
    upstream: type[Upstream], check: str, said: str
) -> None:
    with pytest.raises(AssertionError) as caught:
        getattr(suite(upstream), check)()
    assert said in str(caught.value)


def test_an_upstream_that_keeps_a_socket_fails() -> None:
    try:
        with pytest.raises(AssertionError, match="1 sockets are open"):
            getattr(suite(KeepsASocket), CANCELLED)()
    finally:
        KeepsASocket.held.close()


def test_health_that_needs_the_loop_fails() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        getattr(suite(NeedsTheLoopForHealth), HEALTH)()


class Reconnecting(Sound):
    """Publishes until ``lost`` is set. What it does then is ``after``."""

    after: type[Exception] | None = None

    def __init__(self) -> None:
        self.lost = threading.Event()

    async def publish(self, sink: Sink) -> None:
        sink.opened()
        while not self.lost.is_set():
            sink.publish([tick()])
            await asyncio.sleep(0.001)
        if self.after is not None:
            self.lost.clear()
            raise self.after("lost")
        await asyncio.get_running_loop().create_future()


class RaisesOther(Reconnecting):
    after = OSError


@pytest.mark.parametrize(
    ("upstream", "said"),
    [
        (Reconnecting, "run() had neither ended nor published"),
        (RaisesOther, "a lost connection must raise UpstreamError; run() gave OSError('lost')"),
    ],
)
def test_an_upstream_that_does_not_reconnect_fails(upstream: type[Reconnecting], said: str) -> None:
    made = upstream()

    class Suite(UpstreamConformance):
        symbols = ("AAPL",)
        patience = 0.3

        @contextlib.asynccontextmanager
        async def connect(self) -> AsyncIterator[Upstream]:
            yield made

        async def disrupt(self) -> None:
            made.lost.set()

    with pytest.raises(AssertionError) as caught:
        Suite().test_it_reconnects()
    assert said in str(caught.value)


def test_a_suite_without_symbols_says_so() -> None:
    with pytest.raises(AssertionError, match="give `symbols`"):
        UpstreamConformance().test_a_symbol_can_be_opened_again()


def test_an_upstream_that_starts_tasks_when_it_is_created_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def connect(url: str) -> Upstream:
        upstream = AddsUp()
        upstream.kept.append(asyncio.create_task(asyncio.sleep(60), name="early"))
        return upstream

    monkeypatch.setattr("qcfeed.upstreams.registry.connect", connect)
    early = UpstreamConformance()
    early.symbols = ("AAPL",)
    with pytest.raises(AssertionError, match="creating the upstream started tasks: early"):
        early.test_nothing_is_started_before_the_first_feed()
