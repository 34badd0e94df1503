"""The checks. Each ``test_`` method gives one rule, in a loop and with an upstream of its own."""

from __future__ import annotations

import asyncio
import contextlib
import unittest
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from qcfeed.errors import InvalidSymbolError, UnknownSymbolError, UpstreamError
from qcfeed.model.symbol import parse
from qcfeed.upstreams import registry
from qcfeed.upstreams.base import Upstream, UpstreamHealth
from qcfeed.upstreams.conformance.session import ConformanceSession, open_sockets
from qcfeed.upstreams.conformance.sink import PATIENCE, KeepingSink

_LATE_CALLS = 0.2
"""Seconds to look for calls that come after the end of a feed."""
_TURNS = 12
"""At which turns of the loop a starting feed is cancelled, one after the other."""

_Check = Callable[["UpstreamConformance", Upstream, ConformanceSession], Awaitable[None]]


def _check(body: _Check) -> Callable[[UpstreamConformance], None]:
    """An ordinary test method, so that no plugin for coroutines is needed."""

    def test(self: UpstreamConformance) -> None:
        self.run_check(body)

    test.__name__, test.__doc__ = body.__name__, body.__doc__
    return test


class UpstreamConformance:
    """Derive a test class from it. Override ``connect`` if the upstream needs, say, a server."""

    url: str = ""
    """The URL for ``--upstream``."""
    symbols: Sequence[str] = ()
    """Symbols whose quotes come soon after a feed has started. With one only, a check is skipped."""
    unknown: str | None = None
    """A well-formed symbol that the upstream does not have; None if it has all."""
    patience: float = PATIENCE
    """Seconds to wait for what must happen."""

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[Upstream]:
        """A new upstream, not yet used. The checks close it; end here what else was started."""
        yield registry.connect(self.url)

    async def disrupt(self) -> None:
        """Break the upstream's connections once, so that it can reconnect."""
        raise unittest.SkipTest("disrupt() is not overridden: reconnecting was not checked")

    def run_check(self, body: _Check) -> None:
        """Run one check and what holds after each: no broken rule, no task and no socket is left."""
        if not self.symbols:
            raise AssertionError("give `symbols` that have quotes")
        before = open_sockets()
        session = ConformanceSession(self.patience)
        with asyncio.Runner() as runner:
            session.install(runner.get_loop())
            runner.run(self._checked(body, session))
        left = open_sockets() - before
        assert not left, f"{len(left)} sockets are open after close()"

    async def _checked(self, body: _Check, session: ConformanceSession) -> None:
        async with self.connect() as upstream:
            try:
                await body(self, upstream, session)
            finally:
                await session.close(upstream)
            await asyncio.sleep(0)
            faults = session.faults()
            assert not faults, "; ".join(faults)

    # ------------------------------------------------------------ before the first feed

    @_check
    async def test_nothing_is_started_before_the_first_feed(
        self, upstream: Upstream, session: ConformanceSession
    ) -> None:
        """A shared connection opens on the first demand; ``close`` without any feed works."""
        await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if type(self).connect is UpstreamConformance.connect:
            names = ", ".join(sorted(task.get_name() for task in others))
            assert not others, f"creating the upstream started tasks: {names}"

    @_check
    async def test_its_name_is_a_printable_line(
        self, upstream: Upstream, session: ConformanceSession
    ) -> None:
        """``name`` is for status and logs, and stays the same."""
        name = upstream.name
        assert name, "the name is empty"
        assert name.isprintable(), f"the name {name!r} is not printable"
        assert upstream.name == name, "the name changed"

    @_check
    async def test_it_knows_its_symbols(
        self, upstream: Upstream, session: ConformanceSession
    ) -> None:
        """Symbols are valid, ``knows`` agrees with ``symbols``, and asking twice gives the same."""
        listed = tuple(upstream.symbols())
        assert tuple(upstream.symbols()) == listed, "symbols() answers differently when asked again"
        for symbol in (*listed, *self.symbols):
            try:
                assert parse(symbol) == symbol, f"symbols are upper-case, {symbol!r} is not"
            except InvalidSymbolError as error:
                raise AssertionError(f"{error.message}; {error.hint}") from None
            assert upstream.knows(parse(symbol)) is True, f"knows({symbol!r}) is not True"

    # ------------------------------------------------------------ one feed

    @_check
    async def test_a_feed_opens_once_and_then_publishes_valid_ticks(
        self, upstream: Upstream, session: ConformanceSession
    ) -> None:
        """``opened`` is called once, before the first tick; ticks are valid, oldest first."""
        async with session.feed(upstream, self.symbols[0]) as (sink, task):
            await session.quotes(sink, task, 2)

    @_check
    async def test_nothing_is_published_after_a_feed_was_cancelled(
        self, upstream: Upstream, session: ConformanceSession
    ) -> None:
        """Cancelling ends the feed; no quote, and no other call, comes after that."""
        async with session.feed(upstream, self.symbols[0]) as (sink, task):
            await session.quotes(sink, task)
        await asyncio.sleep(_LATE_CALLS)

    @_check
    async def test_a_feed_can_be_cancelled_while_it_opens(
        self, upstream: Upstream, session: ConformanceSession
    ) -> None:
        """At any turn of the loop; the symbol can be opened again afterwards."""
        for turns in range(_TURNS):
            async with session.feed(upstream, self.symbols[0]):
                for _ in range(turns):
                    await asyncio.sleep(0)
        async with session.feed(upstream, self.symbols[0]) as (sink, task):
            await session.quotes(sink, task)

    @_check
    async def test_a_feed_that_waits_for_its_subscribers_can_be_cancelled(
        self, upstream: Upstream, session: ConformanceSession
    ) -> None:
        """``await sink.ready()`` may last for ever."""
        sink = KeepingSink(accepting=False)
        async with session.feed(upstream, self.symbols[0], sink) as (_, task):
            await session.quotes(sink, task)

    @_check
    async def test_a_symbol_can_be_opened_again(
        self, upstream: Upstream, session: ConformanceSession
    ) -> None:
        """Each run opens and publishes as the first did."""
        for _ in range(3):
            async with session.feed(upstream, self.symbols[0]) as (sink, task):
                await session.quotes(sink, task)

    # ------------------------------------------------------------ several feeds

    @_check
    async def test_feeds_do_not_disturb_each_other(
        self, upstream: Upstream, session: ConformanceSession
    ) -> None:
        """The end of one feed leaves the others alone."""
        if len(self.symbols) < 2:
            raise unittest.SkipTest("give two `symbols`")
        async with session.feed(upstream, self.symbols[0]) as (sink, task):
            async with session.feed(upstream, self.symbols[1]) as (other, other_task):
                await session.quotes(other, other_task)
            await session.quotes(sink, task)
            async with session.feed(upstream, self.symbols[1]) as (other, other_task):
                await session.quotes(other, other_task)

    @_check
    async def test_an_unknown_symbol_is_refused(
        self, upstream: Upstream, session: ConformanceSession
    ) -> None:
        """``run`` raises UnknownSymbolError without opening; ``knows`` is a bool. Others go on."""
        if self.unknown is None:
            raise unittest.SkipTest("give `unknown`, a symbol that the upstream does not have")
        assert isinstance(upstream.knows(parse(self.unknown)), bool), "knows() must return a bool"
        async with session.feed(upstream, self.symbols[0]) as (sink, task):
            await session.quotes(sink, task)
            refused = KeepingSink()
            run = session.start(upstream, self.unknown, refused)
            try:
                await session.end(refused, run)
            finally:
                run.cancel()
            error = None if run.cancelled() else run.exception()
            assert isinstance(error, UnknownSymbolError), (
                f"run({self.unknown!r}) must raise UnknownSymbolError; it gave {error!r}"
            )
            assert not refused.opens, f"opened() was called for {self.unknown}"
            await session.quotes(sink, task)

    # ------------------------------------------------------------ health, failure, end

    @_check
    async def test_health_is_told_in_any_thread(
        self, upstream: Upstream, session: ConformanceSession
    ) -> None:
        """Before, during and after a feed; connected while quotes arrive."""
        await self._health(upstream)
        async with session.feed(upstream, self.symbols[0]) as (sink, task):
            await session.quotes(sink, task)
            assert (await self._health(upstream)).connected, "not connected, but quotes arrive"
        await self._health(upstream)

    async def _health(self, upstream: Upstream) -> UpstreamHealth:
        health = await asyncio.to_thread(upstream.health)
        assert isinstance(health, UpstreamHealth), f"health() returned {health!r}"
        return health

    @_check
    async def test_it_reconnects(self, upstream: Upstream, session: ConformanceSession) -> None:
        """A lost connection ends feeds with UpstreamError, or they go on by themselves; then quotes come."""
        symbol = self.symbols[0]
        async with session.feed(upstream, symbol) as (sink, task):
            await session.quotes(sink, task)
            await self.disrupt()
            if not await session.published_or_ended(sink, task):
                assert task.done(), (
                    f"{session.patience:g} s after the connection was lost, run() had neither"
                    " ended nor published"
                )
        if not task.cancelled():
            assert isinstance(task.exception(), UpstreamError), (
                f"a lost connection must raise UpstreamError; run() gave {task.exception()!r}"
            )
        async with session.feed(upstream, symbol) as (sink, task):
            await session.quotes(sink, task)

    @_check
    async def test_close_ends_everything_and_can_be_called_twice(
        self, upstream: Upstream, session: ConformanceSession
    ) -> None:
        """After ``close`` no task is left and nothing is published, even if it is called again."""
        for symbol in self.symbols:
            async with session.feed(upstream, symbol) as (sink, task):
                await session.quotes(sink, task)
        await session.close(upstream)
        await session.close(upstream)
        await asyncio.sleep(_LATE_CALLS)

    @_check
    async def test_many_feeds_leave_no_tasks(
        self, upstream: Upstream, session: ConformanceSession
    ) -> None:
        """Feeds that come and go do not add up."""
        counts = []
        for _ in range(5):
            for symbol in self.symbols:
                async with session.feed(upstream, symbol) as (sink, task):
                    await session.quotes(sink, task)
            counts.append(len(session.alive()))
        assert counts[-1] <= counts[0], f"tasks after each round of feeds: {counts}"
