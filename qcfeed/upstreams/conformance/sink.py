"""A sink that keeps what an upstream publishes, and notes the calls that break the interface's rules."""

from __future__ import annotations

import asyncio
import calendar
import threading
import time
from collections.abc import Callable, Sequence

from qcfeed.model.encoded import EncodedQuote
from qcfeed.model.messages import Tick, as_tick, decode_quote, find_fault

PATIENCE = 10.0
"""Seconds to wait for something that should happen at once, unless a caller gives another time."""
CLOCKS_DIFFER = 5
"""Seconds by which timestamps may be in the future or out of order, because they come from several clocks."""


class KeepingSink:
    """Keeps ``ticks``, the size of each batch, and how often the feed was opened.

    ``faults``: the broken rules, one sentence each. ``ended``: set it when the feed's task has ended;
    each later call is a fault. ``accepting``: while False, ``ready`` waits.
    """

    def __init__(self, *, accepting: bool = True) -> None:
        self.ticks: list[Tick] = []
        self.batches: list[int] = []
        self.opens = 0
        self.readies = 0
        self.faults: list[str] = []
        self.ended = False
        self._accepting = asyncio.Event()
        if accepting:
            self._accepting.set()
        self._thread = threading.get_ident()
        self._loop = asyncio.get_running_loop()
        self._latest = 0
        self._news = asyncio.Event()
        self._last: tuple[str, int] | None = None

    def opened(self) -> None:
        self._called("opened()")
        self.opens += 1
        if self.opens > 1:
            self._fault("opened() was called twice in one run")
        self._tell()

    def publish(self, ticks: Sequence[Tick]) -> None:
        self._keep("publish()", ticks)

    def relay(self, quotes: Sequence[EncodedQuote], epoch: str) -> None:
        self._keep("relay()", [self._decode(each.text, epoch) for each in quotes])

    def _keep(self, method: str, ticks: Sequence[Tick]) -> None:
        self._called(method)
        if not self.opens:
            self._fault(f"{method} was called before opened()")
        if not ticks:
            self._fault(f"{method} was called without ticks")
        for tick in ticks:
            self._check(tick)
            self.ticks.append(tick)
        self.batches.append(len(ticks))
        self._tell()

    def _decode(self, text: bytes, epoch: str) -> Tick:
        quote = decode_quote(text)
        if quote.epoch != epoch:
            self._fault(f"a quote of epoch {quote.epoch} was relayed as one of {epoch}")
        if self._last is not None and self._last[0] == epoch and quote.seq <= self._last[1]:
            self._fault(f"quote {quote.seq} of epoch {epoch} was relayed after {self._last[1]}")
        self._last = (epoch, quote.seq)
        return as_tick(quote)

    async def ready(self) -> None:
        self._called("ready()")
        self.readies += 1
        self._tell()
        await self._accepting.wait()

    async def until(self, condition: Callable[[], bool], *, within: float = PATIENCE) -> None:
        """Wait until ``condition`` holds; checked whenever something is called. Raises TimeoutError."""
        async with asyncio.timeout(within):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def until_ticks(self, count: int, *, within: float = PATIENCE) -> None:
        await self.until(lambda: len(self.ticks) >= count, within=within)

    def _tell(self) -> None:
        """Let ``until`` check its condition. An upstream that calls in another thread must not hang it."""
        if threading.get_ident() == self._thread:
            self._news.set()
        else:
            self._loop.call_soon_threadsafe(self._news.set)

    def _called(self, method: str) -> None:
        if threading.get_ident() != self._thread:
            self._fault(f"{method} was called in another thread; use loop.call_soon_threadsafe")
        if self.ended:
            self._fault(f"{method} was called after the feed's task had ended")

    def _check(self, tick: object) -> None:
        if not isinstance(tick, Tick):
            self._fault(f"a {type(tick).__name__} was published, not a Tick")
        elif (fault := find_fault(tick)) is not None:
            self._fault(f"a tick is invalid: {fault}")
        else:
            self._check_time(tick.ts)

    def _check_time(self, ts: str) -> None:
        at = calendar.timegm(time.strptime(ts[:19], "%Y-%m-%dT%H:%M:%S"))
        if at > time.time() + CLOCKS_DIFFER:
            self._fault(f"a tick of the future was published, of {ts}")
        elif at < self._latest - CLOCKS_DIFFER:
            self._fault(f"a tick of {ts} was published after much later ones: oldest first")
        self._latest = max(self._latest, at)

    def _fault(self, sentence: str) -> None:
        if sentence not in self.faults:
            self.faults.append(sentence)
