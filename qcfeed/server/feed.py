"""One symbol's feed: carries out the lifecycle's commands and reports the outcome to it."""

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
from qcfeed.feed.lifecycle import Command, Demand, Lifecycle, Operation, UpstreamState
from qcfeed.feed.log import QuoteLog
from qcfeed.feed.staleness import Staleness, StalenessThresholds
from qcfeed.feed.subscriber import Subscriber
from qcfeed.model import frames
from qcfeed.model.encoded import EncodedQuote
from qcfeed.model.messages import CloseCode, Status, Tick, encode, find_fault, quote
from qcfeed.model.symbol import Symbol
from qcfeed.server.pacing import UpstreamPacing
from qcfeed.upstreams import base

if TYPE_CHECKING:
    from qcfeed.server.hub import Hub

log = logging.getLogger("qcfeed.feed")


class UpstreamTask:
    """One generation of the feed's upstream: its task, the task's owner for diagnostics, and its sink.

    It is closed once the feed has another task or none; then whatever it still publishes is discarded.
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

    def relay(self, quotes: Sequence[EncodedQuote], epoch: str) -> None:
        if not self.closed:
            self._feed.relay(quotes, epoch)

    async def ready(self) -> None:
        await self._feed.pacing.wait()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._feed.ended(self, None if task.cancelled() else task.exception())


class Feed:
    """One symbol: at most one upstream task, a log of frames, and the subscribers that read it."""

    def __init__(self, symbol: Symbol, epoch: str, config: Config, hub: Hub) -> None:
        self._loop = asyncio.get_running_loop()
        self._hub = hub
        self.symbol = symbol
        self.epoch = epoch
        self.lifecycle: Lifecycle[Subscriber] = Lifecycle(config.linger)
        self.log = QuoteLog()
        thresholds = StalenessThresholds(
            config.stale_after, config.very_stale_after, config.dead_after
        )
        self.staleness = Staleness(thresholds, self._loop.time())
        self.upstream_task: UpstreamTask | None = None
        self.restarts = 0
        self.invalid_ticks = 0
        """Ticks from the upstream that were dropped as invalid."""
        self.failure: str | None = None
        self.last_quote_at: float | None = None
        self.rate = 0.0
        """Quotes per second between the last two samples."""
        self._sampled = (self._loop.time(), 0)
        self.timer: asyncio.TimerHandle | None = None
        """Due at the next deadline of the lifecycle or of the staleness; None if there is none."""
        # A quarter: the upstream waits for a consumer well before the slow-consumer policy applies to it.
        self.pacing = UpstreamPacing(self.lifecycle, self.log, config.max_lag // 4, self._loop)

    # ------------------------------------------------------------ subscribers

    def subscribe(self, subscriber: Subscriber) -> None:
        """Add ``subscriber``; it will be sent the latest quote unless that is stale."""
        now = self._loop.time()
        self.log.start_reading(subscriber, replay_latest=self._is_fresh(now))
        # Only the first subscriber changes the lifecycle, so only it needs a new timer.
        first = not self.lifecycle.subscribers
        commands = self.lifecycle.subscribe(subscriber, now)
        if first:
            self._execute(commands)
        # The latest quote waits in the log until the stalled connection can be written to.
        if subscriber.cursor < self.log.head and not subscriber.consumer.writable:
            subscriber.consumer.backlog.behind += subscriber.lag
        if self.staleness.reason is not None:
            flush.send_status(subscriber, self.log, self._status_frame())
        self.pacing.wake()

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Remove ``subscriber``; when it was the last one, the linger time starts."""
        now = self._loop.time()
        subscriber.closed_at = time.monotonic()
        commands = self.lifecycle.unsubscribe(subscriber, now)
        if not self.lifecycle.subscribers:
            self._execute(commands)
        self.pacing.wake()

    def evict_all(self, code: CloseCode, reason: str) -> list[Subscriber]:
        """Force the feed down; its subscribers are closed with ``code``. Returns them."""
        # A set has no order; subscribers are closed in the order in which they came.
        evicted = sorted(self.lifecycle.subscribers, key=lambda each: each.serial)
        commands = self.lifecycle.stop(self._loop.time())
        for subscriber in evicted:
            # Before ``evict``, which may close the connection and so unsubscribe it once more.
            subscriber.closed_at = time.monotonic()
            subscriber.consumer.evict(subscriber, code, reason)
        self._execute(commands)
        return evicted

    def cancel_again(self, reason: str) -> None:
        """Cancel the task of a feed that is closing; no effect on any other feed.

        Only for somebody who insists: it also interrupts a task that is still cleaning up.
        """
        if self.lifecycle.upstream is UpstreamState.CLOSING and self.upstream_task is not None:
            self.upstream_task.task.cancel(reason)

    def status(self) -> Status:
        """The status message for the current staleness band."""
        age = max(0.0, self._loop.time() - self.staleness.updated_at)
        return Status(
            self.symbol, self.staleness.band, int(age * 1000), reason=self.staleness.reason
        )

    def _is_fresh(self, now: float) -> bool:
        # The deadline counts too: the timer that changes the band may be late.
        return self.staleness.reason is None and now < (self.staleness.deadline or now)

    def sample(self, now: float) -> None:
        """Measure the rate since the last sample."""
        before, quotes = self._sampled
        if now > before:
            self.rate = (self.log.head - quotes) / (now - before)
            self._sampled = (now, self.log.head)

    # ------------------------------------------------------------ upstream

    def opened(self, generation: int) -> None:
        """The upstream task of ``generation`` reports that quotes can be expected."""
        self._execute(self.lifecycle.opened(generation, self._loop.time()))

    def publish(self, ticks: Sequence[Tick]) -> None:
        """Append ``ticks`` to the log; they are sent in this turn of the loop."""
        if not self._accepts_quotes():
            return
        valid = [tick for tick in ticks if find_fault(tick) is None]
        if len(valid) < len(ticks):
            self._note_invalid(ticks)
        if not valid:
            return
        self._note_quotes()
        for tick in valid:
            self.log.append(quote(self.symbol, tick, self.epoch, self.log.head + 1))
        self._hub.schedule_flush(self)

    def relay(self, quotes: Sequence[EncodedQuote], epoch: str) -> None:
        """Append quotes of another service's ``epoch`` to the log, as ``publish`` does."""
        if not quotes or not self._accepts_quotes():
            return
        self.epoch = epoch
        self._note_quotes()
        for each in quotes:
            self.log.relay(each)
        self._hub.schedule_flush(self)

    def _accepts_quotes(self) -> bool:
        """Whether quotes may be appended now; not every upstream reports that it is open before."""
        if self.lifecycle.upstream is UpstreamState.CLOSING:
            return False  # subscribers that arrive now wait for the quotes of the next generation
        if self.lifecycle.upstream is UpstreamState.OPENING:
            self.opened(self.lifecycle.generation)
        return True

    def _note_quotes(self) -> None:
        """Quotes have arrived; call it before they are appended."""
        self.last_quote_at = self._hub.wall_clock()
        # The status ``live`` is sent before the quotes that end the silence.
        if self.staleness.update(self._loop.time()):
            self._broadcast_status()
            self.arm_timer()

    def _note_invalid(self, ticks: Sequence[Tick]) -> None:
        """Count the invalid ones of ``ticks``, which are dropped; log the first one of the feed."""
        for fault in filter(None, map(find_fault, ticks)):
            if not self.invalid_ticks:
                log.warning("%s: dropped an invalid tick: %s", self.symbol, fault)
            self.invalid_ticks += 1
            self.failure = f"{self.invalid_ticks} invalid ticks dropped, last: {fault}"

    def ended(self, task: UpstreamTask, failure: BaseException | None) -> None:
        """``task`` has ended and was joined; the lifecycle decides what happens next."""
        if task is not self.upstream_task:
            return
        self.upstream_task = None
        if self.lifecycle.upstream is not UpstreamState.CLOSING:
            self.restarts += 1
            self._note_failure(failure)
        if isinstance(failure, UnknownSymbolError):
            self.evict_all(CloseCode.UNKNOWN_SYMBOL, failure.message)
        self._execute(self.lifecycle.ended(task.generation, self._loop.time(), random.random()))

    def _note_failure(self, failure: BaseException | None) -> None:
        self.failure = "the upstream ended" if failure is None else str(failure)
        if failure is None or isinstance(failure, QcfeedError):
            self._hub.log_failure(self)
        else:
            log.error("%s: bug in the upstream ended the feed", self.symbol, exc_info=failure)

    # ------------------------------------------------------------ to subscribers

    def flush_into(self, batch: flush.FlushBatch, *, only_feed: bool) -> None:
        """Hand the new quotes to ``batch``. ``only_feed``: no other feed has new quotes this turn."""
        collect = batch.send if only_feed else batch.gather
        collect(self.log, self.lifecycle.subscribers)
        self.pacing.wake()

    def _broadcast_status(self) -> None:
        frame = self._status_frame()
        for subscriber in self.lifecycle.subscribers:
            flush.send_status(subscriber, self.log, frame)

    def _status_frame(self) -> bytes:
        return frames.text(encode(self.status()))

    # ------------------------------------------------------------ time and commands

    def _execute(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if command.operation is Operation.OPEN:
                self.upstream_task = UpstreamTask(self, command.generation, self._hub.upstream)
            elif command.operation is Operation.CLOSE:
                self._close()
            else:
                self._drop()
                return
        # Last: a command may have moved the deadline.
        self.arm_timer()

    def _close(self) -> None:
        if self.upstream_task is None:  # the task ended by itself in this turn
            self._execute(
                self.lifecycle.ended(self.lifecycle.generation, self._loop.time(), random.random())
            )
        else:
            log.info("%s: no subscribers, closing the feed", self.symbol)
            # Not joined here: its done callback reports the end, and the lifecycle waits for that.
            self.upstream_task.task.cancel(f"feed {self.symbol} closes")

    def _drop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self._hub.remove(self)

    def arm_timer(self) -> None:
        """Set the timer to the next deadline; needed after every change of one."""
        deadlines = [self.lifecycle.deadline]
        if self.lifecycle.demand is Demand.WANTED:
            deadlines.append(self.staleness.deadline)
        due = min((each for each in deadlines if each is not None), default=None)
        if self.timer is not None:
            if due is not None and not self.timer.cancelled() and self.timer.when() == due:
                return
            self.timer.cancel()
        if due is not None:  # a deadline that passed while no timer was set does not count as late
            due = max(due, self._loop.time())
        self.timer = None if due is None else self._loop.call_at(due, self._tick, due)

    def _tick(self, due: float) -> None:
        now = self._loop.time()
        # Before the commands, which set the next timer.
        self.timer = None
        up = self.lifecycle.upstream in (UpstreamState.OPEN, UpstreamState.OPENING)
        if self.lifecycle.demand is Demand.WANTED and self.staleness.tick(
            now, upstream_up=up and self._hub.upstream.health().connected, late=now - due
        ):
            self._broadcast_status()
        self._execute(self.lifecycle.tick(now))
