"""Ends orphans of one feeder or gateway; an orphan that has begun another life since it was judged is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Set

from qcfeed.cluster.bucket import LeaseBucket
from qcfeed.cluster.core.lease import RELEASED, Lease, LeaseOutcome, Stored, UpdateKey
from qcfeed.cluster.core.shares import Share
from qcfeed.cluster.subscription import Subscription
from qcfeed.model import symbol as symbols
from qcfeed.model.cluster import ClusterReaped, ClusterRefusal
from qcfeed.model.symbol import Symbol
from qcfeed.server.feed import UpstreamTask
from qcfeed.server.hub import Hub

OTHER_LIFE = "it has begun another life since: {}"
GONE = "it has ended by itself"
WANTED = "a gateway wants it again"
NOT_HERE = "a {} has none"


class ClusterReaper:
    """Carries out one request to reap, and keeps what has ended, and what was left alone and why."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self._refused: list[ClusterRefusal] = []

    def refuse(self, what: str, why: str) -> None:
        self._refused.append(ClusterRefusal(what=what, why=why))

    def answer(self) -> ClusterReaped:
        return ClusterReaped(ended_names=self.ended, refusals=self._refused)

    async def reap_feeds(
        self, hub: Hub, epochs: Mapping[str, str], wanted: Set[Symbol], timeout: float
    ) -> None:
        """Cancel these feeds. ``wanted``: symbols that gateways ask for now, which are no orphans."""
        chosen: dict[Symbol, UpstreamTask | None] = {}
        for name, epoch in epochs.items():
            symbol = symbols.parse(name)
            feed = hub.feeds.get(symbol)
            if feed is None:
                self.refuse(symbol, GONE)
            elif feed.epoch != epoch:
                self.refuse(symbol, OTHER_LIFE.format(f"epoch {feed.epoch}, not {epoch}"))
            elif symbol in wanted:
                self.refuse(symbol, WANTED)
            else:
                chosen[symbol] = feed.upstream_task
        hub.cancel(chosen, "an orphan of the cluster")
        tasks = [each.task for each in chosen.values() if each is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout)
        for symbol, task in chosen.items():
            if task is None or task.task.done():
                self.ended.append(symbol)
            else:
                self.refuse(symbol, f"its task has not ended within {timeout:g} s")

    async def reap_subscriptions(
        self, present: Mapping[str, Subscription], lives: Mapping[str, str], read: Collection[str]
    ) -> None:
        """Unsubscribe from these, named by their lives. ``read``: those that a feed reads."""
        for life, symbol in lives.items():
            found = present.get(life)
            if found is None:
                self.refuse(symbol, GONE)
            elif life in read:
                self.refuse(symbol, "a feed reads it")
            else:
                await found.end()
                self.ended.append(symbol)

    async def reap_lease(
        self, bucket: LeaseBucket | None, lease: Lease, share: Share, revision: int
    ) -> None:
        """Give up the lease of a feeder that is gone, by compare-and-set: any renewal since then wins."""
        what = f"share {share}"
        observed = lease.observed
        if bucket is None:
            self.refuse(what, "this feeder has no connection to JetStream")
        elif observed is None:
            self.refuse(what, GONE)
        elif observed.revision != revision:
            self.refuse(what, OTHER_LIFE.format(f"revision {observed.revision}, not {revision}"))
        else:
            answer = await bucket.carry_out(
                share.key, UpdateKey(RELEASED, revision), _LEASE_TIMEOUT
            )
            self._tell_lease(what, answer, bucket)

    def _tell_lease(self, what: str, answer: object, bucket: LeaseBucket) -> None:
        if isinstance(answer, Stored):
            self.ended.append(what)
        elif answer is LeaseOutcome.CONFLICT:
            self.refuse(what, "its holder has renewed it, or it has ended")
        else:
            self.refuse(what, bucket.problem or "JetStream refused")


_LEASE_TIMEOUT = 2.0
