"""Selects tasks by spawn location, labels, age, name and what they wait on."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.locations import named_places
from qcfeed.diagnostics.orphans import is_orphan
from qcfeed.diagnostics.scan import LiveTaskScan
from qcfeed.diagnostics.site import AnyTask, Site
from qcfeed.diagnostics.task_info import TaskInfo, TaskRef, task_of
from qcfeed.diagnostics.waits import mentions


@dataclass(frozen=True, slots=True)
class Filter:
    """Selects the tasks that meet all given conditions; an empty filter selects every task.

    ``site``: ``FILE:LINE`` or ``FILE`` of a library's or the application's place, or a whole spawn
    location (see ``locations.named_places``). ``labels``: keys and
    values; None as a value matches any. ``older_than``: minimum age in seconds. ``name``: a shell
    pattern of the task's name. ``waiting_on``: a word in the description of what the task waits on,
    for example ``sleep``; upper and lower case are the same.

    ::

        old_feeds = Filter(site="feed.py", labels={"symbol": "AAPL"}, older_than=60)
        refs = old_feeds.select(ledger, time.monotonic())
        await reaper.cancel(refs)
    """

    site: str = ""
    labels: Mapping[str, str | None] = field(default_factory=dict)
    older_than: float = 0.0
    name: str = ""
    waiting_on: str = ""

    def __bool__(self) -> bool:
        """Whether it has any condition."""
        return self.site != "" or self._by_task

    @property
    def _by_task(self) -> bool:
        return bool(self.labels or self.older_than > 0 or self.name or self.waiting_on)

    def matches_site(self, site: Site) -> bool:
        """Whether tasks of this site can match."""
        return self.matches_location(site.location)

    def matches_location(self, location: str) -> bool:
        """Whether tasks of this spawn location, ``FILE:LINE``, can match."""
        return not self.site or bool(named_places(location, self.site))

    def matches(self, info: TaskInfo, now: float) -> bool:
        """Whether a task matches. Cost: 0.5 us; 0.5 us more with ``name``, 1-5 us with ``waiting_on``."""
        return self.matches_site(info.site) and self._fits(info, now)

    def _fits(self, info: TaskInfo, now: float) -> bool:
        """Whether it matches apart from its site. The cheap conditions come first."""
        if self.older_than and now - info.created_at < self.older_than:
            return False
        if not self._by_task:
            return True
        if not self._has(info.context.labels):
            return False
        task = task_of(info)
        if task is None or task.done():
            return False
        return (not self.name or fnmatch.fnmatchcase(_name(task), self.name)) and (
            not self.waiting_on or mentions(task, self.waiting_on)
        )

    def matches_saved(
        self, location: str, labels: Mapping[str, str], age: float, name: str, state: str
    ) -> bool:
        """Whether a task of a saved file matches, by the fields that such a file has.

        ``age``: in seconds. ``state``: what it waits on, as ``waits.state`` describes it.
        """
        return (
            self.matches_location(location)
            and age >= self.older_than
            and self._has(labels)
            and (not self.name or fnmatch.fnmatchcase(name, self.name))
            and (not self.waiting_on or self.waiting_on.casefold() in state.casefold())
        )

    def _has(self, labels: Mapping[str, str]) -> bool:
        return all(
            key in labels and (value is None or labels[key] == value)
            for key, value in self.labels.items()
        )

    def select(self, ledger: Ledger, now: float) -> list[TaskRef]:
        """The live tasks that match, in no particular order. ``now`` is ``time.monotonic()``.

        From any thread, in slices that let the watched loop run. Cost: 0.5 us per live task; 0.5 us
        more with ``name``; 1-5 us with ``waiting_on`` for each task that the rest matches.
        """
        found: list[TaskRef] = []
        for refs, some in LiveTaskScan(ledger):
            at = self._sites_of(some)
            found += [
                ref
                for ref, info in zip(refs, some, strict=True)
                if info.site in at and self._fits(info, now)
            ]
        return found

    def count(self, ledger: Ledger, now: float) -> Counter[tuple[str, str]]:
        """How many live tasks match, by spawn location and function. Cost: that of ``select``."""
        by_site: Counter[Site] = Counter()
        for _, some in LiveTaskScan(ledger):
            at = self._sites_of(some)
            by_site.update(info.site for info in some if info.site in at and self._fits(info, now))
        counted: Counter[tuple[str, str]] = Counter()
        for site, number in by_site.items():
            counted[site.location, site.function] += number
        return counted

    def _sites_of(self, some: list[TaskInfo]) -> set[Site]:
        return {site for site in {info.site for info in some} if self.matches_site(site)}


@dataclass(slots=True)
class LabelRow:
    """The live tasks with one value of a label; ``value`` is None for tasks without the label."""

    value: str | None
    live: int = 0
    orphaned: int = 0
    oldest_s: float = 0.0
    locations: int = 0
    """How many spawn locations created them."""


def by_label(ledger: Ledger, key: str, which: Filter, now: float) -> list[LabelRow]:
    """The live tasks that match, one row per value of the label ``key``, most tasks first.

    From any thread, in slices. Cost: 1 us per live task.
    """
    rows: dict[str | None, LabelRow] = {}
    sites: dict[str | None, set[Site]] = {}
    for _, some in LiveTaskScan(ledger):
        for info in some:
            if which.matches(info, now):
                value = info.context.labels.get(key)
                row = rows.setdefault(value, LabelRow(value))
                row.live += 1
                row.orphaned += is_orphan(info)
                row.oldest_s = max(row.oldest_s, now - info.created_at)
                sites.setdefault(value, set()).add(info.site)
    for value, row in rows.items():
        row.locations = len(sites[value])
    return sorted(rows.values(), key=most_tasks_first)


def most_tasks_first(row: LabelRow) -> tuple[int, bool, str]:
    """The sort key of rows by label; of equal counts, the row without the label is last."""
    return -row.live, row.value is None, row.value or ""


def _name(task: AnyTask) -> str:
    try:
        return str(task.get_name())
    except Exception:  # noqa: BLE001 - a name that cannot be read matches `*` only
        return ""
