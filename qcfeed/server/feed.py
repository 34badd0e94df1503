"""One symbol's feed: carries out what the lifecycle commands and tells it what became of it."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qcfeed.config import Config
from qcfeed.diagnostics import label, owned_by
from qcfeed.errors import QcfeedError, UnknownSymbolError
from qcfeed.feed import flush
from qcfeed.feed.lifecycle import Command, Demand, Do, Lifecycle, Upstream
from qcfeed.feed.log import Log
from qcfeed.feed.staleness import Staleness, Thresholds
from qcfeed.feed.subscriber import Reader, Subscriber
from qcfeed.model.messages import CloseCode, Status, Tick, fault, quote
from qcfeed.model.symbol import Symbol
from qcfeed.upstreams import base

if TYPE_CHECKING:
    from qcfeed.server.hub import Hub

log = logging.getLogger("qcfeed.feed")


class UpstreamTask:
    """One life of the feed's upstream: the task, its owner for diagnostics, and its sink.

    A run whose feed has another one, or none, is closed; what it still says is discarded.
    """

    __slots__ = ("_feed", "generation", "task")

    def __init__(self, feed: Feed, generation: int, upstream: base.Upstream) -> None:
        self._feed = feed
        self.generation = generation
        with owned_by(self), label(symbol=feed.symbol):
            self.task = asyncio.get_running_loop().create_task(
                upstream.run(feed.symbol, self), name=f"feed {feed.symbol} #{generation}"
            )
        self.task.add_done_callback(self._ended)

    @property
    def symbol(self) -> Symbol:
        return self._feed.symbol

    @property
    def closed(self) -> bool:
        return self._feed.upstream_task is not self

    def __str__(self) -> str:
        return f"generation {self.generation} of feed {self.symbol}"

    def opened(self) -> None:
        if not self.closed:
            self._feed.opened(self.generation)

    def publish(self, ticks: Sequence[Tick]) -> None:
        if not self.closed:
            self._feed.publish(ticks)

    async def ready(self) -> None:
        await self._feed.taken()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._feed.ended(self, None if task.cancelled() else task.exception())


class Feed:
    """At most one upstream run, a log of frames, and the subscribers who read it."""

    def __init__(self, symbol: Symbol, epoch: str, config: Config, hub: Hub) -> None:
        self._loop = asyncio.get_running_loop()
        self._hub = hub
        self.symbol = symbol
        self.epoch = epoch
        self.life: Lifecycle[Subscriber] = Lifecycle(config.linger)
        self.log = Log()
        self._near = config.max_lag // 4
        thresholds = Thresholds(config.stale_after, config.very_stale_after, config.dead_after)
        self.staleness = Staleness(thresholds, self._loop.time())
        self.upstream_task: UpstreamTask | None = None
        self.restarts = 0
        self.rubbish = 0
        """What the upstream sent that was no quote."""
        self.failure: str | None = None
        self.last_quote_at: float | None = None
        self.rate = 0.0
        """Quotes a second, lately."""
        self._sampled = (self._loop.time(), 0)
        self._timer: asyncio.TimerHandle | None = None
        self._taken: asyncio.Future[None] | None = None
        self._awaited: set[Reader] = set()
        """Those who have yet to take what the upstream has published."""

    # ------------------------------------------------------------ subscribers

    def subscribe(self, subscriber: Subscriber) -> None:
        """Take ``subscriber`` on, before the last quote if that is not stale: its reader catches up."""
        now = self._loop.time()
        self.log.rewind(subscriber, snapshot=self._fresh(now))
        first = not self.life.subscribers
        commands = self.life.subscribe(subscriber, now)
        if first:
            self._carry_out(commands)
        if subscriber.cursor < self.log.head and not subscriber.reader.writable:
            subscriber.reader.backlog.behind += subscriber.lag
        if self.staleness.cause is not None:
            subscriber.reader.tell(self.status())
        self._release_taken()

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Let ``subscriber`` go; the last one's leaving starts the linger time."""
        now = self._loop.time()
        subscriber.closed_at = time.monotonic()
        commands = self.life.unsubscribe(subscriber, now)
        if not self.life.subscribers:
            self._carry_out(commands)
        self._release_taken()

    def evict_all(self, code: CloseCode, reason: str) -> list[Subscriber]:
        """Force the feed down; its subscribers are told ``code``. Returns who they were."""
        evicted = sorted(self.life.subscribers, key=lambda each: each.serial)
        commands = self.life.stop(self._loop.time())
        for subscriber in evicted:
            subscriber.closed_at = time.monotonic()
            subscriber.reader.evict(subscriber, code, reason)
        self._carry_out(commands)
        return evicted

    def status(self) -> Status:
        """The band it is in, as subscribers are told."""
        age = max(0.0, self._loop.time() - self.staleness.heard_at)
        return Status(
            self.symbol, self.staleness.band, int(age * 1000), reason=self.staleness.cause
        )

    def _fresh(self, now: float) -> bool:
        return self.staleness.cause is None and now < (self.staleness.deadline or now)

    def sample(self, now: float) -> None:
        """Measure the rate since the last sample."""
        before, quotes = self._sampled
        if now > before:
            self.rate = (self.log.head - quotes) / (now - before)
            self._sampled = (now, self.log.head)

    # ------------------------------------------------------------ upstream

    def opened(self, generation: int) -> None:
        """The run of ``generation`` expects quotes."""
        self._carry_out(self.life.opened(generation, self._loop.time()))

    def publish(self, ticks: Sequence[Tick]) -> None:
        """Append ``ticks`` to the log; they leave in this turn of the loop."""
        if self.life.upstream is Upstream.CLOSING:  # who comes now waits for the next run's
            return
        if self.life.upstream is Upstream.OPENING:
            self.opened(self.life.generation)
        before = self.log.head
        for tick in ticks:
            if (wrong := fault(tick)) is not None:
                self._refuse(wrong)
            else:
                self.log.append(quote(self.symbol, tick, self.epoch, self.log.head + 1))
        if self.log.head == before:
            return
        now = self._loop.time()
        self.last_quote_at = self._hub.wall()
        if self.staleness.hear(now):
            self._tell_all()
            self._arm()
        self._hub.has_news(self)

    def _refuse(self, wrong: str) -> None:
        """What is no quote reaches nobody; it is counted, and told once a feed."""
        if not self.rubbish:
            log.warning("%s: refused what is no quote: %s", self.symbol, wrong)
        self.rubbish += 1
        self.failure = f"{self.rubbish} refused, the last for {wrong}"

    def ended(self, task: UpstreamTask, failure: BaseException | None) -> None:
        """``task`` has ended and was joined; the lifecycle decides what comes next."""
        if task is not self.upstream_task:
            return
        self.upstream_task = None
        if self.life.upstream is not Upstream.CLOSING:
            self.restarts += 1
            self._note_failure(failure)
        if isinstance(failure, UnknownSymbolError):
            self.evict_all(CloseCode.UNKNOWN_SYMBOL, failure.message)
        self._carry_out(self.life.ended(task.generation, self._loop.time(), random.random()))

    def _note_failure(self, failure: BaseException | None) -> None:
        self.failure = "the upstream ended" if failure is None else str(failure)
        if failure is None or isinstance(failure, QcfeedError):
            self._hub.failed(self)
        else:
            log.error("%s: a bug in the upstream ended the feed", self.symbol, exc_info=failure)

    async def taken(self) -> None:
        """Wait until subscribers have taken what was published (one that stalls is not waited for)."""
        while not self._is_taken():
            self._taken = self._loop.create_future()
            await asyncio.wait([self._taken], timeout=STALL_GRACE)
        self._taken = None
        await asyncio.sleep(0)

    def _is_taken(self) -> bool:
        """Whether all who read are near the head; with nobody who reads there is nothing taken."""
        now, near = self._loop.time(), self.log.head - self._near
        reading = [
            subscriber
            for subscriber in self.life.subscribers
            if (since := subscriber.reader.stalled_since) is None or now - since < STALL_GRACE
        ]
        self._awaited = {each.reader for each in reading if each.cursor < near}
        return bool(reading) and not self._awaited

    def caught_up(self, reader: Reader) -> None:
        """``reader`` was behind, and has been given all, or as much as it takes."""
        if reader in self._awaited:
            self._awaited.discard(reader)
            if not self._awaited:
                self._release_taken()

    def _release_taken(self) -> None:
        if self._taken is not None and not self._taken.done():
            self._taken.set_result(None)

    # ------------------------------------------------------------ towards subscribers

    def drain(self, turn: flush.FlushBatch, *, alone: bool) -> None:
        """Give ``turn`` what each subscriber has not had yet; ``alone``: no other feed has news."""
        give = turn.send if alone else turn.gather
        give(self.log, self.life.subscribers)
        self._release_taken()

    def _tell_all(self) -> None:
        status = self.status()
        for subscriber in self.life.subscribers:
            subscriber.reader.tell(status)

    # ------------------------------------------------------------ time and commands

    def _carry_out(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if command.do is Do.OPEN:
                self.upstream_task = UpstreamTask(self, command.generation, self._hub.upstream)
            elif command.do is Do.CLOSE:
                self._close()
            else:
                self._drop()
                return
        self._arm()

    def _close(self) -> None:
        if self.upstream_task is None:  # it ended by itself in this very turn
            self._carry_out(
                self.life.ended(self.life.generation, self._loop.time(), random.random())
            )
        else:
            log.info("%s: nobody is subscribed, the feed closes", self.symbol)
            self.upstream_task.task.cancel(f"feed {self.symbol} closes")

    def _drop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._hub.forget(self)

    def _arm(self) -> None:
        deadlines = [self.life.deadline]
        if self.life.demand is Demand.WANTED:
            deadlines.append(self.staleness.deadline)
        due = min((each for each in deadlines if each is not None), default=None)
        if self._timer is not None:
            if due is not None and not self._timer.cancelled() and self._timer.when() == due:
                return
            self._timer.cancel()
        if due is not None:  # what fell due while nobody asked for it is not late
            due = max(due, self._loop.time())
        self._timer = None if due is None else self._loop.call_at(due, self._tick, due)

    def _tick(self, due: float) -> None:
        now = self._loop.time()
        self._timer = None
        up = self.life.upstream in (Upstream.OPEN, Upstream.OPENING)
        if self.life.demand is Demand.WANTED and self.staleness.tick(
            now, upstream_up=up and self._hub.upstream.health().connected, late=now - due
        ):
            self._tell_all()
        self._carry_out(self.life.tick(now))


STALL_GRACE = 0.25
"""Seconds after which a reader that takes nothing is no longer waited for by `rate=max`."""
