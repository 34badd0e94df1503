"""``qcfeed feeder``: holds the lease of a share and, while it does, publishes what gateways want."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Sequence

from qcfeed.cluster import servers as addresses
from qcfeed.cluster.bucket import LeaseBucket, open_bucket
from qcfeed.cluster.connection import NatsConnection, check
from qcfeed.cluster.connection import connect as connect_to
from qcfeed.cluster.core import shares
from qcfeed.cluster.core.envelope import Epoch
from qcfeed.cluster.core.lease import Lease, LeaseAnswer, LeaseOutcome, LeaseRequest
from qcfeed.cluster.feeder_fault import FeederFaults
from qcfeed.cluster.nats_client import end
from qcfeed.cluster.ownership import round_length
from qcfeed.cluster.ownership_switch import OwnershipSwitch
from qcfeed.cluster.publisher import Outbox
from qcfeed.config import FeederConfig, NatsConfig
from qcfeed.errors import QcfeedError, UpstreamError
from qcfeed.feed import backoff
from qcfeed.model.link_faults import FeederFault
from qcfeed.server.hub import Hub

log = logging.getLogger("qcfeed.feeder")

_MAX_PAUSE = 2.0
"""The longest pause between attempts to connect, in seconds: the owner must be back before its lease ends."""
_RELEASE_TIMEOUT = 1.0
"""Seconds to give the lease up when the feeder stops; without an answer it ends by its time."""
_LEAST_SLEEP = 0.01
"""Seconds, so that rounding of the time left cannot make the watch of the lease spin."""


def boot_clock() -> float:
    """Seconds of a clock that also runs while the machine is suspended."""
    return time.clock_gettime(_CLOCK)


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Feeder:
    """One feeder: connects, competes for the lease, and owns the share while it has it.

    ``closed`` is true after ``stop``.
    """

    def __init__(
        self, config: FeederConfig, nats: NatsConfig, *, clock: Callable[[], float] = boot_clock
    ) -> None:
        """Raises ConfigError for an invalid share, invalid servers, or credentials that cannot be read."""
        self.share = shares.parse(config.share)
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.closed = False
        self._urls = addresses.parse(config.to, "--to")
        self.urls: Sequence[str] = tuple(self._urls)
        """Its NATS servers."""
        self.servers = addresses.short_name(self._urls)
        check(self._urls, nats)
        self._config = config
        self._nats = nats
        self.clock = clock
        self._lives = itertools.count(1)
        self.lease = Lease(self.name, config.lease, clock(), lambda: secrets.token_hex(8))
        self.outbox = Outbox(lambda: self.lease, clock)
        self.connection: NatsConnection | None = None
        """None while it is not connected."""
        self.bucket: LeaseBucket | None = None
        """The bucket of the leases on that connection."""
        self.reconnects = 0
        self.lost_at: float | None = None
        """When it last lost a connection, by ``clock``."""
        self.problem: str | None = "not connected yet"
        """What keeps it from being the owner or a standby, in words."""
        self._faults = FeederFaults()
        self.ownership = OwnershipSwitch(self.share, self.lease, self.outbox, clock, self._faults)
        self._tasks: list[asyncio.Task[None]] = []
        self._informed = asyncio.Event()
        """Set once the owner is known: this feeder, or another one for which it then stands by."""

    @property
    def notice_after(self) -> float:
        """Seconds until the owner notices at the latest that no gateway wants a symbol any more."""
        return 2 * round_length(self.lease.ttl)

    def new_epoch(self) -> str:
        """The epoch of a new feed: the lease's, and the number of the feed under it."""
        return str(Epoch(self.lease.epoch or 0, next(self._lives)))

    def start(self, hub: Hub) -> None:
        """Begin to compete for the lease. ``hub`` has no other consumers."""
        self.ownership.use(hub)
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._run(), name="feeder"),
            loop.create_task(self._watch_lease(), name="feeder watches its lease"),
        ]
        for each in self._tasks:
            each.add_done_callback(_report_bug)

    @property
    def is_owner(self) -> bool:
        """Whether it holds the lease now; from any thread."""
        return self.lease.holds(self.clock())

    @property
    def informed(self) -> bool:
        """Whether it has known the owner at any time: it can take over."""
        return self._informed.is_set()

    async def wait_informed(self, timeout: float) -> bool:
        """Wait until the owner is known; False if it is not after ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._informed.wait()
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """Give up the lease, so that another feeder takes over at once; then end the feeds and disconnect."""
        self.closed = True
        self.ownership.expect_end()
        for each in self._tasks:
            each.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # ------------------------------------------------------------ connections

    async def _run(self) -> None:
        attempt = 0
        while not self.closed:  # also where nats-py has swallowed the cancellation
            try:
                connection = await connect_to(self._urls, self._nats, f"qcfeed feeder {self.name}")
            except QcfeedError as error:  # also a file with credentials that was removed
                self._note(error.message)
            else:
                attempt = 0
                try:
                    await self._serve(connection)
                except UpstreamError as error:
                    self._note(error.message)
                finally:
                    await self._leave(connection)
                self.reconnects += 1
                self.lost_at = self.clock()
            self._urls.append(self._urls.pop(0))  # the next attempt begins with another server
            await asyncio.sleep(backoff.delay(attempt, random.random(), base=0.2, cap=_MAX_PAUSE))
            attempt += 1

    def _note(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem

    async def _watch_lease(self) -> None:
        """End the feeds when the lease ends, also while a connection is opened or JetStream is asked."""
        while not self.closed:
            # Without the lease, look often enough to see one that ``_step`` acquires before it can expire.
            left = self.lease.left(self.clock())
            await asyncio.sleep(max(left, _LEAST_SLEEP) if left else self.lease.ttl / 8)
            await self.ownership.check_lease()

    async def _serve(self, connection: NatsConnection) -> None:
        """Compete for the lease on this connection, until it is lost. Raises UpstreamError."""
        self.connection = connection
        self.bucket = await self._open_bucket(connection)
        sender = asyncio.get_running_loop().create_task(
            self.outbox.send(connection), name="feeder sends quotes"
        )
        lost = asyncio.get_running_loop().create_task(
            connection.wait_lost(), name="feeder watches its connection"
        )
        try:
            if self.lease.holds(self.clock()):  # the connection was lost for less than the lease
                await self.ownership.begin(connection)
            while not (sender.done() or lost.done() or self.closed):
                await self._step(connection, (sender, lost))
        finally:
            await end(sender, lost)
        if not self.closed:
            raise connection.loss()

    async def _step(
        self, connection: NatsConnection, watched: tuple[asyncio.Task[None], asyncio.Task[None]]
    ) -> None:
        """Send the lease's next request when it is due, and act on its outcome."""
        now, lease = self.clock(), self.lease
        if (wait := self._next_wake(now) - now) > 0:
            await asyncio.wait(watched, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
        if watched[0].done() or watched[1].done():
            return
        await self.ownership.check_lease()
        bucket = self.bucket
        if (now := self.clock()) < lease.due or bucket is None:
            return
        request = lease.request(now)
        answer = await self._carry_out(bucket, request, now)
        lease.answered(request, answer, self.clock())
        self.problem = bucket.problem
        if lease.owner:
            self._informed.set()
        if answer is LeaseOutcome.NO_BUCKET:
            log.warning("the bucket of the leases was deleted; creating it again")
            await self.ownership.check_lease()
            self.bucket = await self._open_bucket(connection)
            return
        await self.ownership.check_lease()
        if lease.epoch is not None and self.ownership.current is None:
            await self.ownership.begin(connection)

    async def _carry_out(
        self, bucket: LeaseBucket, request: LeaseRequest, now: float
    ) -> LeaseAnswer:
        if self._faults.loses(request, owner=self.lease.epoch is not None):
            return LeaseOutcome.UNKNOWN
        if (imagined := self._faults.answer(request, self.lease.floor)) is not None:
            return imagined
        return await bucket.carry_out(self.share.key, request, self._request_timeout(now))

    def _next_wake(self, now: float) -> float:
        left = self.lease.left(now)
        return min(self.lease.due, now + left) if left else self.lease.due

    def _request_timeout(self, now: float) -> float:
        """At most half of the time left of the lease, so that a lost request can be repeated."""
        left = self.lease.left(now) / 2
        return max(0.05, min(left or self.lease.ttl, self.lease.ttl / 4))

    async def _open_bucket(self, connection: NatsConnection) -> LeaseBucket:
        # Epochs must rise even if the bucket was deleted, so a new one begins above every known revision.
        known = max(self.ownership.highest, self.lease.highest, self.lease.floor)
        # Without a known revision the time in microseconds is a guess; if gateways have seen more, the lease raises it.
        first = max(known + 1, time.time_ns() // 1_000)
        bucket = await open_bucket(
            connection,
            ttl=self._config.lease,
            replicas=self._config.lease_replicas,
            first_revision=first,
        )
        if bucket.ttl != self.lease.ttl:
            log.warning(
                "the lease lasts %g s: --lease applies only when the bucket is created", bucket.ttl
            )
            self.lease.ttl = bucket.ttl
        self.problem = None
        return bucket

    async def _leave(self, connection: NatsConnection) -> None:
        """Close the connection. The lease is given up if the feeder stops; otherwise it may be renewed later."""
        if self.closed:
            await self._release(connection)
        else:
            await self.ownership.suspend()
        self.connection = self.bucket = None
        await connection.close()

    async def _release(self, connection: NatsConnection) -> None:
        """Stop publishing, then let the next feeder take over without waiting for the lease's end.

        The feeds end last: their upstream may be slow to close, and their quotes are no longer published.
        """
        bucket = self.bucket
        request = self.lease.release()
        try:
            await self.ownership.end_announcements()
            if request is not None and bucket is not None and not connection.lost:
                await bucket.carry_out(self.share.key, request, _RELEASE_TIMEOUT)
                log.info("the lease of share %s is given up", self.share)
        finally:
            await self.ownership.end_feeds()

    def set_fault(self, fault: FeederFault) -> None:
        """For drills: break it in one way; with NONE, repair it."""
        if self._faults.imagines_lease and fault is not FeederFault.LEASE_IMAGINED:
            self.lease.lose(self.clock())  # the bucket knows nothing of it
        self._faults.fault = fault


def _report_bug(task: asyncio.Task[None]) -> None:
    """Neither task ends by itself; the lease then ends without them, and a standby takes over."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("bug in the feeder: %s has ended", task.get_name(), exc_info=error)
