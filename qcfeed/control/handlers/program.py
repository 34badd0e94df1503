"""The answers of an attached program: ``process``, and an error for everything about feeds."""

from __future__ import annotations

import os
import platform
import time
from typing import NoReturn

import msgspec

from qcfeed import rfc3339
from qcfeed.control import routes
from qcfeed.diagnostics import snapshot
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.errors import NotFoundError
from qcfeed.metrics import memory
from qcfeed.model.feeds import CancelFeedsRequest
from qcfeed.model.status import Memory, ProgramStatus
from qcfeed.model.tasks import TaskTotals


class ProgramHandlers:
    """The handlers of a program that uses ``attach``."""

    def __init__(self, ledger: Ledger, watch: LoopWatch) -> None:
        self._ledger = ledger
        self._watch = watch
        self._since = rfc3339.now()
        self._begun = time.monotonic()

    def table(self) -> list[routes.Route]:
        return [
            routes.ReadRoute(routes.PROCESS, routes.NoQuery, self.process),
            routes.ReadRoute(routes.STATUS, routes.NoQuery, _no_feeds),
            routes.ReadRoute(routes.FEEDS, routes.NoQuery, _no_feeds),
            routes.ActionRoute(
                routes.FEEDS_CANCEL, "feeds cancel", CancelFeedsRequest, _nothing_to_cancel
            ),
        ]

    def process(self, _: routes.NoQuery) -> ProgramStatus:
        """Cost: a snapshot, 0.5 us per live task."""
        self._ledger.check.refresh()
        totals = snapshot.by_location(self._ledger, time.monotonic()).totals
        limit = memory.limit()
        return ProgramStatus(
            python=platform.python_version(),
            attached_at=self._since,
            attached_s=time.monotonic() - self._begun,
            loop_lag_ms=self._watch.lag * 1000,
            memory=Memory(
                resident_bytes=memory.resident(),
                limit_bytes=limit.bytes,
                limit_source=limit.source,
            ),
            totals=msgspec.convert(totals, TaskTotals, from_attributes=True),
        )


async def _nothing_to_cancel(_: CancelFeedsRequest) -> NoReturn:
    _no_feeds()


def _no_feeds(_: routes.NoQuery | None = None) -> NoReturn:
    raise NotFoundError(
        f"this instance has no feeds: it is a program (pid {os.getpid()}) that uses"
        " qcfeed.attach, not the feed service",
        hint="`qcfeed tasks --by-location` and `qcfeed orphans` work with it",
    )
