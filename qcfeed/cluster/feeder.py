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
from qcfeed.cluster.core.interest import Interest
from qcfeed.cluster.core.lease import Lease, LeaseAnswer, LeaseOutcome, LeaseRequest
from qcfeed.cluster.feeder_fault import FeederFaults
from qcfeed.cluster.nats_client import end
from qcfeed.cluster.ownership import Ownership, round_length
from qcfeed.cluster.publisher import Outbox, Publisher
from qcfeed.cluster.reaper import NOT_HERE, ClusterReaper
from qcfeed.config import FeederConfig, NatsConfig
from qcfeed.errors import QcfeedError, UpstreamError
from qcfeed.feed import backoff
from qcfeed.feed.lifecycle import UpstreamState
from qcfeed.model.cluster import (
    ClusterReaped,
    ClusterReapRequest,
    ClusterStatus,
    ClusterView,
    LeaseSeen,
)
from qcfeed.model.link_faults import FeederFault
from qcfeed.server.hub import Hub

log = logging.getLogger("qcfeed.feeder")

_MAX_PAUSE = 2.0
"""The longest pause between attempts to connect, in seconds: the owner must be back before its lease ends."""


def boot_clock() -> float:
    """Seconds of a clock that also runs while the machine is suspended."""
    return time.clock_gettime(_CLOCK)


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Feeder:
    """One feeder: connects, competes for the lease, and owns the share while it has it.

    ``closed`` is true after ``stop``.
    """

    is_feeder = True

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
        self._clock = clock
        self._lives = itertools.count(1)
        self.lease = Lease(self.name, config.lease, clock(), lambda: secrets.token_hex(8))
        self._outbox = Outbox(lambda: self.lease, clock)
        self._faults = FeederFaults()
        self._hub: Hub | None = None
        self._publisher: Publisher | None = None
        self._connection: NatsConnection | None = None
        self._bucket: LeaseBucket | None = None
        self._ownership: Ownership | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._informed = asyncio.Event()
        """Set once the owner is known: this feeder, or another one for which it then stands by."""
        # The two tasks begin and end ownerships; one at a time.
        self._changing = asyncio.Lock()
        self._reconnects = 0
        self._lost_at: float | None = None
        self._highest = 0
        """The highest epoch that a gateway has been seen to know."""
        self._problem: str | None = "not connected yet"

    @property
    def notice_after(self) -> float:
        """Seconds until the owner notices at the latest that no gateway wants a symbol any more."""
        return 2 * round_length(self.lease.ttl)

    def new_epoch(self) -> str:
        """The epoch of a new feed: the lease's, and the number of the feed under it."""
        return str(Epoch(self.lease.epoch or 0, next(self._lives)))

    def start(self, hub: Hub) -> None:
        """Begin to compete for the lease. ``hub`` has no other consumers."""
        self._hub = hub
        self._publisher = Publisher(hub, self._outbox)
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._run(), name="feeder"),
            loop.create_task(self._watch_lease(), name="feeder watches its lease"),
        ]
        for each in self._tasks:
            each.add_done_callback(_report_bug)

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
                self._reconnects += 1
                self._lost_at = self._clock()
            self._urls.append(self._urls.pop(0))
            await asyncio.sleep(backoff.delay(attempt, random.random(), base=0.2, cap=_MAX_PAUSE))
            attempt += 1

    def _note(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("%s", problem)
        self._problem = problem

    async def _watch_lease(self) -> None:
        """End the feeds when the lease ends, also while a connection is opened or JetStream is asked."""
        while not self.closed:
            left = self.lease.left(self._clock())
            await asyncio.sleep(max(left, _LEAST_SLEEP) if left else self.lease.ttl / 8)
            await self._check_lease()

    async def _serve(self, connection: NatsConnection) -> None:
        """Compete for the lease on this connection, until it is lost. Raises UpstreamError."""
        self._connection = connection
        self._bucket = await self._open_bucket(connection)
        sender = asyncio.get_running_loop().create_task(
            self._outbox.send(connection), name="feeder sends quotes"
        )
        lost = asyncio.get_running_loop().create_task(
            connection.wait_lost(), name="feeder watches its connection"
        )
        try:
            if self.lease.holds(self._clock()):  # the connection was lost for less than the lease
                await self._begin(connection)
            while not (sender.done() or lost.done() or self.closed):
                await self._step(connection, (sender, lost))
        finally:
            await end(sender, lost)
        if not self.closed:
            raise connection.loss()

    async def _step(
        self, connection: NatsConnection, watched: tuple[asyncio.Task[None], asyncio.Task[None]]
    ) -> None:
        """Send the lease's next request when it is due, and act on what became of it."""
        now, lease = self._clock(), self.lease
        if (wait := self._next_wake(now) - now) > 0:
            await asyncio.wait(watched, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
        if watched[0].done() or watched[1].done():
            return
        await self._check_lease()
        bucket = self._bucket
        if (now := self._clock()) < lease.due or bucket is None:
            return
        request = lease.request(now)
        answer = await self._carry_out(bucket, request, now)
        lease.answered(request, answer, self._clock())
        self._problem = bucket.problem
        if lease.owner:
            self._informed.set()
        if answer is LeaseOutcome.NO_BUCKET:
            log.warning("the bucket of the leases was deleted; it is created again")
            await self._check_lease()
            self._bucket = await self._open_bucket(connection)
            return
        await self._check_lease()
        if lease.epoch is not None and self._ownership is None:
            await self._begin(connection)

    async def _carry_out(
        self, bucket: LeaseBucket, request: LeaseRequest, now: float
    ) -> LeaseAnswer:
        if self._faults.loses(request, owner=self.lease.epoch is not None):
            return LeaseOutcome.UNKNOWN
        return await bucket.carry_out(self.share.key, request, self._request_timeout(now))

    def _next_wake(self, now: float) -> float:
        left = self.lease.left(now)
        return min(self.lease.due, now + left) if left else self.lease.due

    def _request_timeout(self, now: float) -> float:
        """Half of what is left of the lease at most, so that a request can be repeated."""
        left = self.lease.left(now) / 2
        return max(0.05, min(left or self.lease.ttl, self.lease.ttl / 4))

    async def _open_bucket(self, connection: NatsConnection) -> LeaseBucket:
        # Higher than any revision before, also after the bucket was deleted.
        known = max(self._highest, self.lease.highest, self.lease.floor)
        # Where it knows none, the time is a guess; if gateways have seen more, the lease raises it.
        first = max(known + 1, time.time_ns() // 1_000)
        bucket = await open_bucket(
            connection,
            ttl=self._config.lease,
            replicas=self._config.lease_replicas,
            first_revision=first,
        )
        if bucket.ttl != self.lease.ttl:
            log.warning("the leases last %g s, as the bucket says", bucket.ttl)
            self.lease.ttl = bucket.ttl
        self._problem = None
        return bucket

    async def _leave(self, connection: NatsConnection) -> None:
        """The connection ends. The lease is given up if the feeder stops; else it may be renewed later."""
        if self.closed:
            await self._release(connection)
        elif self._ownership is not None:
            await self._ownership.stop()
            self._ownership = None
            self._outbox.clear()
        self._connection = self._bucket = None
        await connection.close()

    async def _release(self, connection: NatsConnection) -> None:
        """Stop publishing, then let the next feeder take over without waiting for the lease's end.

        The feeds end last: their upstream may take its time to close, and nothing of theirs is published any more.
        """
        bucket = self._bucket
        request = self.lease.release()
        try:
            await self._end_tenure()
            if request is not None and bucket is not None and not connection.lost:
                await bucket.carry_out(self.share.key, request, RELEASE_TIMEOUT)
                log.info("the lease of share %s is given up", self.share)
        finally:
            await self._end_feeds()

    # ------------------------------------------------------------ ownership

    async def _begin(self, connection: NatsConnection) -> None:
        """This feeder is the owner: announce it and publish what gateways want."""
        async with self._changing:
            epoch, hub, publisher = self.lease.epoch, self._hub, self._publisher
            if epoch is None or hub is None or publisher is None:
                return
            log.info("owner of share %s, epoch %d", self.share, epoch)
            self._ownership = Ownership(
                self.share, epoch, self.lease, hub, publisher, connection, self._clock, self._faults
            )
            await self._ownership.start()

    async def _check_lease(self) -> None:
        """Stop being the owner if the lease is lost or has run out, or was got again meanwhile."""
        self.lease.expire(self._clock())
        ownership = self._ownership
        if self.lease.epoch is None or (ownership and ownership.epoch != self.lease.epoch):
            async with self._changing:
                await self._end_ownership()
        elif ownership is not None:
            self._highest = max(self._highest, ownership.highest)

    async def _end_ownership(self) -> None:
        """End the announcements, then every feed at once; its tasks are joined."""
        await self._end_tenure()
        await self._end_feeds()

    async def _end_tenure(self) -> None:
        """Announce nothing more, and answer no gateway."""
        ownership, self._ownership = self._ownership, None
        if ownership is not None:
            level = logging.INFO if self.closed else logging.WARNING
            log.log(level, "no longer owner of share %s, epoch %d", self.share, ownership.epoch)
            self._highest = max(self._highest, ownership.highest)
            await ownership.stop()

    async def _end_feeds(self) -> None:
        if self._publisher is not None and self._hub is not None and self._hub.feeds:
            await self._publisher.stop_all()

    def set_fault(self, fault: FeederFault) -> None:
        """For drills: break it in one way; with NONE, repair it."""
        self._faults.fault = fault

    # ------------------------------------------------------------ from any thread

    def cluster(self) -> ClusterStatus:
        now, connection, ownership, hub = (
            self._clock(),
            self._connection,
            self._ownership,
            self._hub,
        )
        wanted = set() if ownership is None else set(ownership.interest.wanted)
        feeds = {} if hub is None else dict(hub.feeds)
        unlisted = set() if ownership is None else ownership.interest.unlisted
        open_feeds = {s for s, f in feeds.items() if f.lifecycle.upstream is UpstreamState.OPEN}
        return ClusterStatus(
            role="feeder",
            name=self.name,
            servers=self.servers,
            connected=connection is not None and not connection.lost,
            server=None if connection is None else connection.server,
            reconnects=self._reconnects,
            lost_s=None if self._lost_at is None else round(now - self._lost_at, 1),
            slow_drops=self._outbox.dropped,
            symbols_wanted=len(wanted),
            symbol_share=str(self.share),
            owner=self.lease.owner or None,
            lease_epoch=self.lease.epoch if self.lease.holds(now) else None,
            lease_left_s=round(self.lease.left(now), 3),
            renewals_missed=self.lease.missed,
            quotes_fenced=self._outbox.fenced,
            quotes_published=self._outbox.published,
            gateways=0 if ownership is None else ownership.interest.gateways,
            feeds_without_interest=len(unlisted & feeds.keys()),
            interest_without_feed=len(wanted - open_feeds),
            problem=self._problem or (None if connection is None else connection.denial),
        )

    def view(self) -> ClusterView:
        """What it runs and wants, to be compared with the gateways' views."""
        now, ownership, observed = self._clock(), self._ownership, self.lease.observed
        return ClusterView(
            role="feeder",
            name=self.name,
            symbol_share=str(self.share),
            lease_epoch=self.lease.epoch if self.lease.holds(now) else None,
            lease=None
            if observed is None
            else LeaseSeen(
                holder=observed.holder,
                revision=observed.revision,
                unrenewed_s=round(now - observed.since, 3),
                ttl_s=self.lease.ttl,
            ),
            unlisted_symbols=[] if ownership is None else sorted(ownership.interest.unlisted),
        )

    async def reap(self, request: ClusterReapRequest) -> ClusterReaped:
        """End feeds that nobody wants, and the lease of a feeder that is gone. In the service's loop."""
        reaper, hub, ownership = ClusterReaper(), self._hub, self._ownership
        if hub is not None:
            interest = Interest() if ownership is None else ownership.interest
            listed = interest.wanted - interest.unlisted
            await reaper.reap_feeds(hub, request.feeds, listed, request.timeout_s)
        for symbol in request.subscriptions:
            reaper.refuse(symbol, NOT_HERE.format("feeder"))
        if request.lease_revision is not None:
            await reaper.reap_lease(self._bucket, self.lease, self.share, request.lease_revision)
        return reaper.answer()


def _report_bug(task: asyncio.Task[None]) -> None:
    """Neither task ends by itself; the lease then ends without them, and a standby takes over."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("bug in the feeder: %s has ended", task.get_name(), exc_info=error)


RELEASE_TIMEOUT = 1.0
_LEAST_SLEEP = 0.01
