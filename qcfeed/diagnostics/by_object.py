"""Counts the live tasks by the object that they wait for, with its holder and where that waits itself.

Tasks that wait for the same object are one row. Tasks that each wait for an object of their own, such as
a timer or a connection, are one row per kind of object and function.
"""

from __future__ import annotations

import random
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from qcfeed.diagnostics import awaited, awaiters, thread_pools, waits
from qcfeed.diagnostics.filters import Filter
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.lock_holders import NO_HOLDERS
from qcfeed.diagnostics.object_rows import MAX_LOCATIONS, ObjectGroup, ObjectRow, describe_groups
from qcfeed.diagnostics.sampling import sample_sizes
from qcfeed.diagnostics.scan import LiveTaskScan, by_site
from qcfeed.diagnostics.site import Site
from qcfeed.diagnostics.task_info import TaskRef

SAMPLE = 5_000
"""Tasks that are examined, unless ``exact`` is given."""
_SLICE = 50
"""Tasks per slice; a slice takes less than 0.5 ms."""
MAX_ROWS = 1_000
"""Rows that are described at most."""

_Tasks = tuple[Site | None, list[TaskRef]]
"""Live tasks of one location; None for those from before the ledger."""


@dataclass(slots=True)
class ObjectSnapshot:
    """``rows``: most tasks first. ``total``: how many rows there are, with those beyond the limit.

    ``sampled`` of ``live`` matching tasks were looked at. ``searched`` of ``searchable`` tasks were
    searched for the holders of locks; both are 0 if no search was needed. ``untracked``: live tasks that
    were created around the ledger; they are not counted in any row.
    """

    rows: list[ObjectRow]
    total: int
    live: int
    sampled: int
    untracked: int
    searched: int = 0
    searchable: int = 0


def by_object(
    ledger: Ledger,
    which: Filter,
    now: float,
    *,
    limit: int = MAX_ROWS,
    exact: bool = False,
) -> ObjectSnapshot:
    """The live tasks that match, by the object that they wait for. ``now``: ``time.monotonic()``.

    Without a filter, tasks from before the ledger are counted too.
    A random sample of SAMPLE tasks is looked at: all tasks of small locations, some of large ones.
    ``exact``: look at all tasks. From any thread, in slices that let the watched loop run; never raises
    because of the program's classes. Cost: 0.3 us per live task, 8 us per task that is looked at,
    300 us per row; 1.5 us per live task more if a lock is waited for.
    """
    live: list[_Tasks] = [
        *by_site(ledger, (lambda info: which.matches(info, now)) if which else None).items()
    ]
    others = _unrecorded(ledger)
    if not which:
        live.append((None, others.earlier))
    found = _count(ledger, live, others, limit, None if exact else SAMPLE)
    if not which and found.sampled < found.live:
        for row in found.rows:
            if row.waiters is not None:
                row.tasks = row.waiters  # exact, where the sample gives an estimate
        found.rows.sort(key=lambda row: -row.tasks)
    return found


def of_tasks(
    ledger: Ledger,
    live: Mapping[Site, list[TaskRef]],
    *,
    limit: int = MAX_ROWS,
    sample: int | None = SAMPLE,
) -> ObjectSnapshot:
    """As ``by_object``, of given tasks by spawn location. ``sample``: None for all."""
    return _count(ledger, [*live.items()], _unrecorded(ledger), limit, sample)


def _count(
    ledger: Ledger, live: list[_Tasks], others: _Unrecorded, limit: int, sample: int | None
) -> ObjectSnapshot:
    look = _ObjectCounter(ledger)
    for site, refs, share in _chosen(live, sample):
        for part in ledger.turns.slices(refs, _SLICE):
            look.add(part, site, share)
    groups = sorted(look.groups(), key=lambda group: (-group.tasks, group.kind))
    rows, view = describe_groups(ledger, groups[:limit], look.pools, others.refs)
    locks = view.locks or NO_HOLDERS
    return ObjectSnapshot(
        rows=rows,
        total=len(groups),
        live=sum(len(refs) for _, refs in live),
        sampled=look.sampled,
        untracked=others.new,
        searched=locks.searched,
        searchable=locks.live,
    )


class _Unrecorded(NamedTuple):
    """Live tasks that the ledger did not record.

    ``earlier``: those from before the ledger. The main task comes first, because a search may end before
    the last task. ``new``: how many were created around the ledger since then; ``some``: a few of these.
    """

    earlier: list[TaskRef]
    new: int
    some: list[TaskRef]

    @property
    def refs(self) -> list[TaskRef]:
        return self.some + self.earlier


def _unrecorded(ledger: Ledger) -> _Unrecorded:
    scan = LiveTaskScan(ledger)
    for _ in scan:
        pass  # only the counts of the whole scan are needed
    number = ledger.untracked(scan)
    some = [weakref.ref(task) for task in ledger.untracked_sample(scan)]
    main: list[TaskRef] = []
    others: list[TaskRef] = []
    for part in ledger.turns.slices(ledger.earlier_refs()):
        for ref in part:
            if (task := ref()) is not None and not task.done():
                (main if awaiters.is_main(task) else others).append(ref)
    earlier = main + others
    return _Unrecorded(earlier, max(0, number - len(earlier)), some)


def _chosen(
    live: list[_Tasks], sample: int | None
) -> Iterable[tuple[Site | None, list[TaskRef], float]]:
    """The tasks to look at, by location, and how many tasks each of them stands for."""
    sizes = [len(refs) for _, refs in live]
    taken = sizes if sample is None else sample_sizes(sizes, sample)
    for (site, refs), size in zip(live, taken, strict=True):
        some = refs if size == len(refs) else random.sample(refs, size)
        yield site, some, len(refs) / max(1, size)


class _ObjectCounter:
    """Counts tasks by the ``id()`` of the object that they wait for.

    It creates no object per task: see LiveTaskScan. It keeps no object of the program alive, so an
    ``id()`` may be reused meanwhile; object_rows.py examines the object of every row again.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.pools = thread_pools.pools()
        self.sampled = 0
        self._tasks: dict[int, float] = {}
        self._seen: dict[int, int] = {}
        self._first: dict[int, TaskRef] = {}
        self._keys: dict[int, tuple[str, str]] = {}
        self._sites: dict[int, tuple[Site | None, ...]] = {}
        self._shared: dict[Any, Any] = {}
        """Equal tuples, each only once."""
        self._without_object: dict[str, int] = {}
        """Negative keys for tasks that wait for no known object, by kind."""

    def add(self, refs: Iterable[TaskRef], site: Site | None, share: float) -> None:
        """Look at tasks of one location, each of which stands for ``share`` tasks."""
        for ref in refs:
            try:
                key, kind, function = self._look(ref)
            except Exception:  # noqa: BLE001 - classes of the program may raise anything
                key, kind, function = 0, "unknown", ""
            if kind in ("gone", "ended"):
                continue
            self.sampled += 1
            if not key:
                key = self._without_object.setdefault(kind, -1 - len(self._without_object))
            if key not in self._tasks:
                self._tasks[key] = 0.0
                self._seen[key] = 0
                self._first[key] = ref
                self._keys[key] = self._once((kind, function))
                self._sites[key] = ()
            self._tasks[key] += share
            self._seen[key] += 1
            sites = self._sites[key]
            if site not in sites and len(sites) < MAX_LOCATIONS:
                self._sites[key] = self._once((*sites, site))

    def _look(self, ref: TaskRef) -> tuple[int, str, str]:
        """The ``id()`` of the object (0 for none), its kind, and the function of the program that waits."""
        task = ref()
        found = awaited.find(task, self.pools)
        if found is None:
            return 0, waits.kind(task), ""
        function = getattr(waits.own_link(found.seen.links), "__qualname__", "")
        thing = found.awaited
        return (0 if thing is None else id(thing)), found.kind, function

    def _once(self, value: Any) -> Any:
        return self._shared.setdefault(value, value)

    def groups(self) -> list[ObjectGroup]:
        """A group for each object with several waiters, and one for all others of a kind and function."""
        found: dict[Any, ObjectGroup] = {}
        for some in self._ledger.turns.slices(list(self._tasks)):
            for key in some:
                self._add_to_group(found, key)
        return list(found.values())

    def _add_to_group(self, found: dict[Any, ObjectGroup], key: int) -> None:
        tasks, own = self._tasks[key], self._keys[key]
        is_shared = key > 0 and self._seen[key] > 1
        group = found.setdefault(key if is_shared else own, ObjectGroup(own[0], self._first[key]))
        group.tasks += tasks
        if key > 0:
            group.objects += 1 if is_shared else tasks
        if len(group.sites) < MAX_LOCATIONS:
            group.sites += tuple(site for site in self._sites[key] if site not in group.sites)
