"""Cycles of subscribing, receiving a quote and disconnecting, in four ways.

Each cycle has a connection of its own. Cost: about half a millisecond of one core per cycle.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from qcfeed.client.endpoint import Endpoint
from qcfeed.client.raw_peer import AbandonedPeers, RawPeer, ResolvedAddress
from qcfeed.client.refusals import RetryableError
from qcfeed.errors import TimedOutError, UnreachableError
from qcfeed.feed import backoff
from qcfeed.model.symbol import Symbol

CYCLE_TIMEOUT = 10.0
"""Seconds for one connection to be upgraded, get its quote and be closed."""

ATTEMPTS = 12
"""How often one cycle is tried while the server refuses temporarily; about 15 s in total."""

_RETRY_BASE = 0.1
_RETRY_CAP = 4.0
_UNREAD_BUFFER = 4096
_POLL_INTERVAL = 0.1


class Mode(StrEnum):
    """How the client disconnects."""

    CLEAN = "clean"
    """With a closing handshake."""
    RUDE = "rude"
    """Without one: a reset or a FIN."""
    QUIET = "quiet"
    """With a closing handshake, from a symbol that never has a quote."""
    HALF_OPEN = "half-open"
    """Not at all: it stops reading and answers no ping."""


class Progress(Protocol):
    """Reports the progress of a run."""

    def phase(self, label: str, total: int) -> None:
        """A phase of ``total`` steps begins; the previous one is over."""

    def advance(self, steps: int) -> None:
        """``steps`` more of the phase are done."""


@dataclass(slots=True, kw_only=True)
class Cycler:
    """Runs cycles against one server, ``concurrency`` at a time; ``retries`` counts refusals.

    ``quiet_symbol`` is a symbol that never has a quote.
    """

    endpoint: Endpoint
    address: ResolvedAddress
    symbol: Symbol
    quiet_symbol: Symbol
    concurrency: int
    progress: Progress
    token: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None
    retries: int = field(default=0, init=False)
    last_refusal: str = field(default="", init=False)

    async def run(self, mode: Mode, cycles: int, what: str = "cycles") -> None:
        """Run ``cycles`` of a mode other than half-open; ``what`` describes them for the progress.

        Raises TimedOutError if no quote arrives, UnreachableError if the server keeps refusing, or the
        server's own error if a retry cannot help (UnknownSymbolError, ...).
        """
        leave = {Mode.CLEAN: self._clean, Mode.RUDE: self._rude, Mode.QUIET: self._quiet}[mode]

        async def cycle(number: int) -> None:
            await self._with_retries(leave, number)
            self.progress.advance(1)

        self.progress.phase(f"{mode}: {what}", cycles)
        await self._run_concurrently(cycles, cycle)

    async def half_open(self, cycles: int, patience: float) -> int:
        """Open ``cycles`` connections that receive a quote, then stop reading and answer no ping.

        Ends when the server has dropped all of them, or none for ``patience`` seconds. Returns how many
        are still open. Raises like ``run``.
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
        # In turn: the service sees a reset as an error, and a FIN as the end of the input.
        if number % 2:
            peer.reset()
        else:
            peer.drop()

    async def _quiet(self, _number: int) -> None:
        peer = await self._connect(self.quiet_symbol)
        try:
            await peer.ping()  # the pong proves that the subscription exists: no quote will
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
            self.endpoint,
            self.address,
            f"/quotes/{symbol}",
            receive_buffer=receive_buffer,
            token=self.token,
            tls=self.tls,
        )

    async def _with_retries(self, cycle: Callable[[int], Awaitable[None]], number: int) -> None:
        """Run one cycle; retry it with backoff while the server refuses temporarily."""
        for attempt in range(ATTEMPTS):
            try:
                async with asyncio.timeout(CYCLE_TIMEOUT):
                    return await cycle(number)
            except TimeoutError as error:
                raise TimedOutError(
                    f"no quote of {self.symbol} from {self.endpoint} within {CYCLE_TIMEOUT:g} s",
                    hint="does it have quotes? `qcfeed feeds` shows it; --symbol chooses another",
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
        # Shared by the workers, each of which takes the next number.
        numbers = iter(range(count))

        async def work() -> None:
            for number in numbers:
                await cycle(number)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(count, self.concurrency)):
                    group.create_task(work())
        except BaseExceptionGroup as failures:
            # The first failure is enough: the others were cancelled or have the same cause.
            raise failures.exceptions[0] from None
