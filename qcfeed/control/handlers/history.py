"""The handler of the last hour, as the watched program itself remembers it."""

from __future__ import annotations

import time
from collections import Counter

from qcfeed import rfc3339
from qcfeed.control.routes import HISTORY, ReadRoute, Route
from qcfeed.diagnostics.sampler import DiagnosticsSampler
from qcfeed.metrics import memory
from qcfeed.metrics.growth_answer import history_point
from qcfeed.metrics.recent_history import RecentHistory
from qcfeed.model import history as answers


def routes(recent: RecentHistory, sampler: DiagnosticsSampler) -> list[Route]:
    """The route HISTORY over ``recent`` and the sampler's history."""
    return [ReadRoute(HISTORY, answers.HistoryQuery, _HistoryHandler(recent, sampler).history)]


class _HistoryHandler:
    def __init__(self, recent: RecentHistory, sampler: DiagnosticsSampler) -> None:
        self._recent = recent
        self._sampler = sampler

    def history(self, query: answers.HistoryQuery) -> answers.History:
        """Cost: 3 us per sample, and 10 us per location, when full."""
        now = time.monotonic()
        ahead = time.time() - now

        def stamp(at: float) -> str:
            return rfc3339.milliseconds(at + ahead)

        begin = now - query.since_s
        since, locations = self._locations(begin)
        return answers.History(
            limit_bytes=memory.limit().bytes,
            points=[history_point(point, stamp(point.at)) for point in self._recent.points(begin)],
            locations_since=None if since is None else stamp(since),
            locations=locations,
        )

    def _locations(self, begin: float) -> tuple[float | None, list[answers.LocationHistory]]:
        """Each tracked location at the beginning and now; a location that appeared later had no tasks then."""
        history = self._sampler.history
        series, times = history.series(), history.times()
        first = next((n for n, at in enumerate(times) if at >= begin), None)
        if first is None:
            return None, []
        before: Counter[str] = Counter()
        live: Counter[str] = Counter()
        for each in series:
            missed = len(times) - len(each.live)
            before[each.location] += each.live[first - missed] if first >= missed else 0
            live[each.location] += each.live[-1]
        rows = [
            answers.LocationHistory(location=name, live_before=before[name], live=count)
            for name, count in live.most_common()
        ]
        return times[first], rows
