"""Subscribe, get a quote, disconnect: the four ways in which a client can leave.

Cost: about half a millisecond of one core a cycle, connections shared by nobody.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from qcfeed.client.endpoint import Endpoint
from qcfeed.client.raw_peer import AbandonedPeers, Address, RawPeer
from qcfeed.client.refusals import RetryableError
from qcfeed.errors import TimedOutError, UnreachableError
from qcfeed.feed import backoff
from qcfeed.model.symbol import Symbol

CYCLE_TIMEOUT = 10.0
"""Seconds for one connection to be upgraded, get its quote and be closed."""

ATTEMPTS = 12
"""How often one cycle is tried when the server refuses for now; about 15 s altogether."""

_RETRY_BASE = 0.1
_RETRY_CAP = 4.0
_UNREAD_BUFFER = 4096
_POLL_INTERVAL = 0.1


class Mode(StrEnum):
    """How the client leaves."""

    CLEAN = "clean"
    RUDE = "rude"
    QUIET = "quiet"
    HALF_OPEN = "half-open"


class Progress(Protocol):
    """Told how a run goes on."""

    def phase(self, label: str, total: int) -> None:
        """Something of ``total`` steps begins, and what was before it is over."""

    def advance(self, steps: int) -> None:
        """``steps`` more of the phase are done."""


@dataclass(slots=True, kw_only=True)
class Cycler:
    """Runs cycles against one server, ``concurrency`` at once; counts what it was refused.

    ``quiet_symbol`` is one that never ticks.
    """

    endpoint: Endpoint
    address: Address
    symbol: Symbol
    quiet_symbol: Symbol
    concurrency: int
    progress: Progress
    retries: int = field(default=0, init=False)
    last_refusal: str = field(default="", init=False)

    async def run(self, mode: Mode, cycles: int, what: str = "cycles") -> None:
        """``cycles`` of a mode other than half-open; ``what`` they are for, in words.

        Raises TimedOutError when a quote does not come, UnreachableError when the server keeps
        refusing, or what it says when trying again cannot help (UnknownSymbolError, ...).
        """
        leave = {Mode.CLEAN: self._clean, Mode.RUDE: self._rude, Mode.QUIET: self._quiet}[mode]

        async def cycle(number: int) -> None:
            await self._with_retries(leave, number)
            self.progress.advance(1)

        self.progress.phase(f"{mode}: {what}", cycles)
        await self._run_concurrently(cycles, cycle)

    async def half_open(self, cycles: int, patience: float) -> int:
        """``cycles`` peers at once that get a quote and then read no more and answer no ping.

        Ends when the server has dropped them all, or after ``patience`` seconds without a change.
        Returns how many it still holds. Raises as ``run`` does.
        """
        abandoned = AbandonedPeers()

        async def abandon(_number: int) -> None:
            abandoned.add(await self._subscribed(self.symbol, receive_buffer=_UNREAD_BUFFER))
            self.progress.advance(1)

        try:
            self.progress.phase(f"{Mode.HALF_OPEN}: open", cycles)
            await self._run_concurrently(cycles, lambda number: self._with_retries(abandon, number))
            self.progress.phase(f"{Mode.HALF_OPEN}: dropped by the server", cycles)
            await self._wait_until_dropped(abandoned, patience)
            return len(abandoned)
        finally:
            abandoned.reset()

    async def _wait_until_dropped(self, abandoned: AbandonedPeers, patience: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        while abandoned and loop.time() < deadline:
            if ended := abandoned.release_ended():
                self.progress.advance(ended)
                deadline = loop.time() + patience
            else:
                await asyncio.sleep(_POLL_INTERVAL)

    async def _clean(self, _number: int) -> None:
        peer = await self._subscribed(self.symbol)
        await peer.close()

    async def _rude(self, number: int) -> None:
        peer = await self._subscribed(self.symbol)
        if number % 2:
            peer.reset()
        else:
            peer.drop()

    async def _quiet(self, _number: int) -> None:
        peer = await self._connect(self.quiet_symbol)
        try:
            await peer.ping()  # no quote will tell that the subscription stands
        except BaseException:
            peer.reset()
            raise
        await peer.close()

    async def _subscribed(self, symbol: Symbol, *, receive_buffer: int | None = None) -> RawPeer:
        peer = await self._connect(symbol, receive_buffer)
        try:
            await peer.quote()
        except BaseException:
            peer.reset()
            raise
        return peer

    async def _connect(self, symbol: Symbol, receive_buffer: int | None = None) -> RawPeer:
        return await RawPeer.connect(
            self.endpoint, self.address, f"/quotes/{symbol}", receive_buffer=receive_buffer
        )

    async def _with_retries(self, cycle: Callable[[int], Awaitable[None]], number: int) -> None:
        """One cycle, tried again with backoff while the server refuses for now."""
        for attempt in range(ATTEMPTS):
            try:
                async with asyncio.timeout(CYCLE_TIMEOUT):
                    return await cycle(number)
            except TimeoutError as error:
                raise TimedOutError(
                    f"no quote of {self.symbol} from {self.endpoint} within {CYCLE_TIMEOUT:g} s",
                    hint="does it tick? `qcfeed feeds` shows; --symbol takes another",
                ) from error
            except RetryableError as refusal:
                self.retries += 1
                self.last_refusal = refusal.reason
                wait = backoff.delay(attempt, random.random(), base=_RETRY_BASE, cap=_RETRY_CAP)
                await asyncio.sleep(refusal.retry_in + wait)
        raise UnreachableError(
            f"{self.endpoint} refused {ATTEMPTS} times in a row: {self.last_refusal}",
            hint="lower --concurrency, or see the limits in `qcfeed serve --help`",
        )

    async def _run_concurrently(self, count: int, cycle: Callable[[int], Awaitable[None]]) -> None:
        numbers = iter(range(count))

        async def work() -> None:
            for number in numbers:
                await cycle(number)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(count, self.concurrency)):
                    group.create_task(work())
        except BaseExceptionGroup as failures:
            # The first says it; the others were cancelled or met the same server.
            raise failures.exceptions[0] from None
