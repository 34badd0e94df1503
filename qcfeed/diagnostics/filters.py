"""Which tasks are meant: by spawn location, labels, age, name and what they wait on."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.orphans import is_orphan
from qcfeed.diagnostics.scan import LiveTaskScan
from qcfeed.diagnostics.site import AnyTask, Site
from qcfeed.diagnostics.task_info import TaskInfo, TaskRef, task_of
from qcfeed.diagnostics.waits import mentions


@dataclass(frozen=True, slots=True)
class Filter:
    """What is given must hold, all of it; nothing given is every task.

    ``site``: ``FILE:LINE`` or ``FILE``, the path from its right end (``feed.py:77`` is also
    ``qcfeed/server/feed.py:77``, not ``my_feed.py:77``). ``labels``: each by key and value, or by
    key alone (None). ``older_than``: seconds. ``name``: a shell pattern of the task's name.
    ``waiting_on``: a word of what it waits on, in any case.
    """

    site: str = ""
    labels: Mapping[str, str | None] = field(default_factory=dict)
    older_than: float = 0.0
    name: str = ""
    waiting_on: str = ""

    def __bool__(self) -> bool:
        """Whether it leaves anything out."""
        return self.site != "" or self._by_task

    @property
    def _by_task(self) -> bool:
        return bool(self.labels or self.older_than > 0 or self.name or self.waiting_on)

    def matches_site(self, site: Site) -> bool:
        """Whether tasks of this spawn location can match."""
        return self.at(site.location)

    def at(self, location: str) -> bool:
        """Whether tasks of this spawn location, ``FILE:LINE``, can match."""
        return not self.site or _is_at(location, self.site)

    def matches(self, known: TaskInfo, now: float) -> bool:
        """Whether a task matches. Cost: 0.5 us; a name another 0.5, what it waits on another 1-5."""
        return self.matches_site(known.site) and self._fits(known, now)

    def _fits(self, known: TaskInfo, now: float) -> bool:
        """Whether it matches, its site apart: the cheap questions first."""
        if self.older_than and now - known.created_at < self.older_than:
            return False
        if not self._by_task:
            return True
        if not self._has(known.context.labels):
            return False
        task = task_of(known)
        if task is None or task.done():
            return False
        return (not self.name or fnmatch.fnmatchcase(_name(task), self.name)) and (
            not self.waiting_on or mentions(task, self.waiting_on)
        )

    def fits(
        self, location: str, labels: Mapping[str, str], age: float, name: str, state: str
    ) -> bool:
        """Whether a task matches of which no more than this is known, as of a saved one."""
        return (
            self.at(location)
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

        From any thread, in slices that let the watched loop run. Cost: 0.5 us a live task, a name
        another 0.5, what it waits on another 1-5 for those left.
        """
        found: list[TaskRef] = []
        for refs, some in LiveTaskScan(ledger):
            at = self._sites_of(some)
            found += [
                ref
                for ref, known in zip(refs, some, strict=True)
                if known.site in at and self._fits(known, now)
            ]
        return found

    def count(self, ledger: Ledger, now: float) -> Counter[tuple[str, str]]:
        """How many live tasks match, by spawn location and function. Cost: as ``select``."""
        by_site: Counter[Site] = Counter()
        for _, some in LiveTaskScan(ledger):
            at = self._sites_of(some)
            by_site.update(
                known.site for known in some if known.site in at and self._fits(known, now)
            )
        counted: Counter[tuple[str, str]] = Counter()
        for site, number in by_site.items():
            counted[site.location, site.function] += number
        return counted

    def _sites_of(self, some: list[TaskInfo]) -> set[Site]:
        return {site for site in {known.site for known in some} if self.matches_site(site)}


@dataclass(slots=True)
class LabelRow:
    """The tasks that carry one value of a label; ``value`` is None for those without it."""

    value: str | None
    live: int = 0
    orphaned: int = 0
    oldest_s: float = 0.0
    locations: int = 0
    """Spawn locations that made them."""


def by_label(ledger: Ledger, key: str, which: Filter, now: float) -> list[LabelRow]:
    """The live tasks that match, a row a value of the label ``key``, most first.

    From any thread. Cost: 1 us a live task, in slices.
    """
    rows: dict[str | None, LabelRow] = {}
    sites: dict[str | None, set[Site]] = {}
    for _, some in LiveTaskScan(ledger):
        for known in some:
            if which.matches(known, now):
                value = known.context.labels.get(key)
                row = rows.setdefault(value, LabelRow(value))
                row.live += 1
                row.orphaned += is_orphan(known)
                row.oldest_s = max(row.oldest_s, now - known.created_at)
                sites.setdefault(value, set()).add(known.site)
    for value, row in rows.items():
        row.locations = len(sites[value])
    return sorted(rows.values(), key=lambda row: (-row.live, row.value is None, row.value or ""))


def _is_at(location: str, wanted: str) -> bool:
    path, _, line = location.rpartition(":")
    wanted_path, _, wanted_line = wanted.rpartition(":")
    if not wanted_line.isdecimal():
        wanted_path, wanted_line = wanted, line
    whole = path or location  # `other` has no line
    same = whole == wanted_path or whole.endswith("/" + wanted_path)
    return same and line == wanted_line


def _name(task: AnyTask) -> str:
    try:
        return str(task.get_name())
    except Exception:  # noqa: BLE001 - a name that cannot be read matches only `*`
        return ""
