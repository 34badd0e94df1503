"""Reproduces the incident: many clients connect and disconnect, and nothing of them may remain.

The service's resources are read from its control plane before and after the cycles of each mode
(cycles.py). No other clients should connect meanwhile: their connections would be counted too.
"""

from __future__ import annotations

import asyncio
import math
import resource
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from qcfeed.client.cycles import Cycler, Mode, Progress
from qcfeed.client.endpoint import Endpoint
from qcfeed.client.footprint import Footprint, memory_tolerance
from qcfeed.client.raw_peer import locate
from qcfeed.config import Config
from qcfeed.errors import UsageError
from qcfeed.model.status import ServiceStatus
from qcfeed.model.symbol import Symbol

NEVER_TICKS = Symbol("ZVZZT")
"""A symbol for which the simulator has no quotes, so a failed send cannot reveal that a client left."""

_MARGIN = 5.0
_POLL_INTERVAL = 0.2
_OWN_DESCRIPTORS = 64
_DEFAULTS = Config()

StatusReader = Callable[[], Awaitable[ServiceStatus]]


class ModeResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one mode. ``retries``: how often a cycle was retried because of a limit.

    ``settled_s``: seconds until the service had released everything; null if it did not.
    ``findings``: the leaks; empty if there are none.
    """

    mode: Mode
    cycle_count: int
    elapsed_s: float
    settled_s: float | None
    retries: int
    before: Footprint
    after: Footprint
    difference: Footprint
    memory_tolerance_bytes: int
    problems: list[str]


class ReproReport(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="schema", tag="qcfeed.repro/2"
):
    """The output of ``qcfeed repro -o json``."""

    pid: int
    instance: str
    taken_at: str
    server: str
    drill: str | None
    symbol: str
    flat: bool
    modes: list[ModeResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReproPlan:
    """What to run. ``settle``: seconds the service has to release everything; None: depends on the mode."""

    symbol: Symbol
    modes: Sequence[Mode]
    cycles: int
    concurrency: int
    quiet_symbol: Symbol = NEVER_TICKS
    settle: float | None = None
    token: str | None = field(default=None, repr=False)
    """The API key or token to present."""
    tls: ssl.SSLContext | None = None
    """The TLS context of a wss:// endpoint."""

    def patience(self, mode: Mode) -> float:
        """Seconds within which a service with default options must have released everything.

        A feed lingers after its last subscriber. Before that, a half-open peer is pinged, waited for,
        sent a close frame, and waited for again.
        """
        if self.settle is not None:
            return self.settle
        alive = _DEFAULTS.ping_interval + 2 * _DEFAULTS.stall_timeout
        return _DEFAULTS.linger + _MARGIN + (alive if mode is Mode.HALF_OPEN else 0.0)


async def reproduce(
    endpoint: Endpoint, status: StatusReader, plan: ReproPlan, progress: Progress
) -> ReproReport:
    """Run the plan's modes one after the other against ``endpoint``; ``status`` reads its status.

    Raises UnreachableError, TimedOutError or the service's error if cycles cannot run
    (UnknownSymbolError, ...), and UsageError if ``status`` belongs to another service.
    """
    address = await locate(endpoint)
    first = await status()
    _same_service(endpoint, first)
    cycler = Cycler(
        endpoint=endpoint,
        address=address,
        symbol=plan.symbol,
        quiet_symbol=plan.quiet_symbol,
        concurrency=plan.concurrency,
        progress=progress,
        token=plan.token,
        tls=plan.tls,
    )
    results = [await _ModeRun(cycler, status, plan, mode).run() for mode in plan.modes]
    return ReproReport(
        pid=first.pid,
        instance=first.instance,
        taken_at=first.taken_at,
        server=str(endpoint),
        drill=first.drill,
        symbol=plan.symbol,
        flat=not any(result.problems for result in results),
        modes=results,
    )


def _same_service(endpoint: Endpoint, status: ServiceStatus) -> None:
    if status.listening.websocket.rpartition(":")[2] != str(endpoint.port):
        raise UsageError(
            f"{endpoint} does not belong to instance {status.instance} (pid {status.pid}),"
            f" which listens on {status.listening.websocket}",
            hint=f"`qcfeed repro {status.listening.quotes_url}`,"
            " or choose the other service: `qcfeed --instance NAME repro ...`",
        )


@dataclass(slots=True)
class _ModeRun:
    """Runs one mode: warm up, run the cycles, wait, compare."""

    cycler: Cycler
    status: StatusReader
    plan: ReproPlan
    mode: Mode

    async def run(self) -> ModeResult:
        counted = await self._wait_for_lingering_feeds()
        warm = await self._warm_up()
        before = msgspec.structs.replace(
            Footprint.of(counted), resident_bytes=warm.memory.resident_bytes
        )
        at_once = self._at_once(counted)
        tolerance = memory_tolerance(at_once)
        loop = asyncio.get_running_loop()
        started, retries = loop.time(), self.cycler.retries
        held = await self._cycles(at_once)
        ended = loop.time()
        after, settled = await self._settle(before, tolerance)
        difference = Footprint.of(after) - before
        return ModeResult(
            mode=self.mode,
            cycle_count=self.plan.cycles,
            elapsed_s=round(ended - started, 3),
            settled_s=settled,
            retries=self.cycler.retries - retries,
            before=before,
            after=Footprint.of(after),
            difference=difference,
            memory_tolerance_bytes=tolerance,
            problems=[
                *difference.leaks(tolerance),
                *([f"half-open peers still held {held:,}"] if held else ()),
                *(_restarted(counted, after)),
                *after.totals.incomplete,
            ],
        )

    async def _wait_for_lingering_feeds(self) -> ServiceStatus:
        """The status once no feed of earlier clients lingers, or when the time is over.

        A lingering feed in the baseline would hide a leaked one.
        """
        patience = self.plan.patience(Mode.CLEAN)
        return await self._poll(
            f"{self.mode}: wait for lingering feeds",
            patience,
            lambda status: not _lingering(status),
        )

    async def _warm_up(self) -> ServiceStatus:
        """Run cycles that fill caches and arenas, so that memory afterwards can serve as a baseline.

        Only memory is taken from here: tasks and feeds that the warm-up leaks must be found.
        """
        mode = Mode.RUDE if self.mode is Mode.HALF_OPEN else self.mode
        cycles = min(self.plan.cycles, self.plan.concurrency)
        await self.cycler.run(mode, cycles, f"warm up for {self.mode}")
        return await self.status()

    def _at_once(self, status: ServiceStatus) -> int:
        """The number of concurrent connections."""
        if self.mode is not Mode.HALF_OPEN:
            return min(self.plan.cycles, self.plan.concurrency)
        # At most half of the free connections, since the service may have real clients, and no more
        # than our own file descriptors.
        free = (status.connections_limit - status.connections) // 2
        return max(1, min(self.plan.cycles, free, _descriptors(self.plan.cycles)))

    async def _cycles(self, at_once: int) -> int:
        """Run all cycles; returns how many half-open peers the service did not drop."""
        if self.mode is not Mode.HALF_OPEN:
            await self.cycler.run(self.mode, self.plan.cycles)
            return 0
        held, left = 0, self.plan.cycles
        while left and not held:
            batch = min(left, at_once)
            held = await self.cycler.half_open(batch, self.plan.patience(self.mode))
            left -= batch
        return held

    async def _settle(
        self, before: Footprint, tolerance: int
    ) -> tuple[ServiceStatus, float | None]:
        """The status once nothing exceeds ``before``, and after how long; or when the time is over."""
        loop = asyncio.get_running_loop()
        started = loop.time()

        def flat(status: ServiceStatus) -> bool:
            return not (Footprint.of(status) - before).leaks(tolerance)

        patience = self.plan.patience(self.mode)
        now = await self._poll(f"{self.mode}: wait for the service to settle", patience, flat)
        return now, round(loop.time() - started, 3) if flat(now) else None

    async def _poll(
        self, label: str, patience: float, enough: Callable[[ServiceStatus], bool]
    ) -> ServiceStatus:
        """The first status for which ``enough`` is true, or the last one within ``patience`` seconds."""
        loop = asyncio.get_running_loop()
        started, reported = loop.time(), 0
        self.cycler.progress.phase(label, math.ceil(patience))
        while True:
            now = await self.status()
            elapsed = loop.time() - started
            if enough(now) or elapsed > patience:
                return now
            self.cycler.progress.advance(int(elapsed) - reported)
            reported = int(elapsed)
            await asyncio.sleep(_POLL_INTERVAL)


def _descriptors(wanted: int) -> int:
    """How many sockets this process may open, at most ``wanted``; raises the soft limit if needed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    needed = wanted + _OWN_DESCRIPTORS
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft - _OWN_DESCRIPTORS


def _lingering(status: ServiceStatus) -> bool:
    return any(
        count and not state.startswith("wanted/") for state, count in status.feeds_by_state.items()
    )


def _restarted(before: ServiceStatus, after: ServiceStatus) -> list[str]:
    if before.pid == after.pid and before.started_at == after.started_at:
        return []
    return [f"the service restarted: pid {before.pid} is now {after.pid}"]
