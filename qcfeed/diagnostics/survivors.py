"""Finds groups of tasks that do not end, without knowing anything about the program.

A group is all tasks of one spawn location that run the same coroutine function: a helper such as
``spawn(coro)`` is one location with many coroutines. survival.py judges each group; demand.py looks at
some of its old tasks for a reason why they may live for so long.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from qcfeed.diagnostics import abandoned, by_object, demand, snapshot, waits
from qcfeed.diagnostics.connections import HeldConnectionState, connections
from qcfeed.diagnostics.demand import Reason
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.object_rows import ObjectRow
from qcfeed.diagnostics.observations import Explanation, Parents, Survivors
from qcfeed.diagnostics.scan import LiveTaskScan
from qcfeed.diagnostics.site import Site
from qcfeed.diagnostics.survival import Survival
from qcfeed.diagnostics.survivor_groups import Functions, WatchedGroup
from qcfeed.diagnostics.task_info import TaskInfo, TaskRecord, task_of

LOOK_EVERY_S = 2.0
"""Seconds between two looks."""
MAX_GROUPS = 2_000
"""Groups that are followed; if there are more, those with most tasks."""
SAMPLE = 60
"""Old tasks of a group that are examined, spread over their ages."""
MAX_EARLY = 20
"""Groups that are described of those with too few tasks for a judgement; the largest."""
MIN_UNEXPLAINED = 0.1
"""Share of the examined tasks from which tasks without a reason are reported."""
ONE_PARENT_EACH = 1.5
"""With at most this many tasks per living parent, each task belongs to its parent, which is judged
instead."""
ALL_BUT_FEW = 0.9
"""Share of a group that counts as nearly all of it."""
_SERIALS = 5
_KINDS = 3


class SurvivorWatch:
    """Looks at all live tasks again and again, and finds the groups that do not end.

    ``note`` and ``survivors`` may run in different threads. Cost of a look: 0.7 us per live task, in
    slices that let the loop run; 200 bytes for each followed task.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.dropped = 0
        """Groups that were not followed at the last look, because there are too many."""
        self._ledger = ledger
        self._groups: dict[tuple[Site, Any], WatchedGroup] = {}
        self._functions = Functions()
        self._lock = threading.Lock()

    def note(self, now: float) -> None:
        """Take one look."""
        with self._lock:
            for group in self._groups.values():
                group.begin()
            for _, some in LiveTaskScan(self._ledger):
                self._add(some)
            for group in self._groups.values():
                group.end(now)
            self._drop()

    def survivors(self, now: float) -> list[Survivors]:
        """The groups whose tasks do not end, with the reasons that explain it, if there are any.

        Cost: 1 us per followed task, 0.2 us per live task if any group does not end, and 50 us for each
        task that is examined.
        """
        with self._lock:
            judged = [
                (group, survival)
                for group in self._groups.values()
                if (survival := group.population.survival(now)) is not None
            ]
        return self._describe_all(judged)

    def early(self, now: float) -> list[Survivors]:
        """The groups of which a few tasks do not end so far, too few for ``survivors``; at most MAX_EARLY.

        Cost: as for ``survivors``.
        """
        with self._lock:
            judged = [
                (group, survival)
                for group in self._groups.values()
                if group.population.survival(now) is None
                and (survival := group.population.early(now)) is not None
            ]
        judged.sort(key=lambda each: -each[0].count)
        return self._describe_all(judged[:MAX_EARLY])

    def _describe_all(self, groups: list[tuple[WatchedGroup, Survival]]) -> list[Survivors]:
        with self._lock:
            judged = [
                (group, survival, _spread(survival.serials), Counter(group.parents.values()))
                for group, survival in groups
            ]
        wanted = {serial for _, _, spread, parents in judged for serial in (*spread, *parents)}
        records = self._ledger.find_all(wanted) if wanted else {}
        return [
            self._describe(
                group, survival, _found(records, spread), _parents(group, parents, records)
            )
            for group, survival, spread, parents in judged
        ]

    def explain(self, locations: Collection[str], now: float) -> dict[str, Explanation]:
        """What explains the live tasks of a location, for those locations where something does.

        Cost: 0.2 us per live task if there are any locations, and 100 us for each of SAMPLE tasks per
        location.
        """
        serials: dict[str, list[int]] = {}
        live: Counter[str] = Counter()
        with self._lock:
            for group in self._groups.values():
                if group.site.location in locations:
                    serials.setdefault(group.site.location, []).extend(group.population.alive)
                    live[group.site.location] += group.count
        spread = {location: _spread(sorted(found)) for location, found in serials.items()}
        wanted = {serial for some in spread.values() for serial in some}
        records = self._ledger.find_all(wanted) if wanted else {}
        found = {}
        for location, some in spread.items():
            examined = _found(records, some)
            known = demand.reasons(examined, live[location])
            main = demand.most_frequent(known)
            share = known.count(None) / len(known) if known else 1.0
            if main is not None and main.kind.explains_growth and share < MIN_UNEXPLAINED:
                found[location] = Explanation(main.kind.value, _lifetime(examined, known, now))
        return found

    def _add(self, some: list[TaskInfo]) -> None:
        groups, function_of = self._groups, self._functions.of
        for info in some:
            code, function = function_of(task_of(info))
            key = (info.site, function)
            group = groups.get(key)
            if group is None:
                group = groups[key] = WatchedGroup(info.site, code)
            group.count += 1
            serial = info.serial
            if not serial & group.population.mask:
                group.found[serial] = info.created_at
                if info.parent is not None:
                    group.parents[serial] = info.parent

    def _drop(self) -> None:
        """Forget groups whose tasks have all ended long ago, and the smallest ones of too many."""
        gone = [key for key, group in self._groups.items() if not group.count]
        for key in gone:
            if not self._groups[key].population.is_remembered:
                del self._groups[key]
        self.dropped = max(0, len(self._groups) - MAX_GROUPS)
        if self.dropped:
            for key in sorted(self._groups, key=lambda k: self._groups[k].count)[: self.dropped]:
                del self._groups[key]

    def _describe(
        self,
        group: WatchedGroup,
        survival: Survival,
        examined: list[TaskRecord],
        parents: Parents | None,
    ) -> Survivors:
        slices = self._ledger.turns.slices(examined, 1)
        reasons = demand.reasons((record for some in slices for record in some), survival.old)
        unexplained = [each for each, why in zip(examined, reasons, strict=True) if why is None]
        share = len(unexplained) / len(examined) if examined else 0.0
        shared = self._shared_object(group.site, unexplained) if share >= MIN_UNEXPLAINED else None
        if shared is not None and self._come_free(shared):
            reasons = [why or Reason(demand.ReasonKind.TURN) for why in reasons]
            share = 0.0
        if share < MIN_UNEXPLAINED:
            unexplained, share, shared = [], 0.0, None
        shown = unexplained or examined
        return Survivors(
            location=group.site.location,
            coroutine=group.coroutine,
            defined_at=group.defined_at,
            live=group.count,
            survival=survival,
            unexplained=round(share * survival.old),
            reason=demand.most_frequent(reasons),
            waits=_waits(shown),
            hung_up=sum(_is_hung_up(each) for each in shown),
            unwakeable=sum(_is_unwakeable(each) for each in shown),
            shared=shared,
            examined=len(shown),
            parents=parents,
            serials=[each.serial for each in shown[:_SERIALS]],
        )

    def _shared_object(self, site: Site, examined: list[TaskRecord]) -> ObjectRow | None:
        """The one object that nearly all of these tasks wait for, if there is one."""
        rows = by_object.of_tasks(self._ledger, {site: list(examined)}, limit=1, sample=None).rows
        for row in rows:
            if row.objects == 1 and row.tasks >= ALL_BUT_FEW * len(examined):
                return row
        return None

    def _come_free(self, row: ObjectRow) -> bool:
        """Whether tasks hold this lock or semaphore that end by themselves, as far as they are known."""
        holders = [each for each in row.object.holders if each.how == "holds"]
        known = [each.serial for each in holders if each.serial is not None]
        if not holders or len(known) < len(holders):
            return False
        why = demand.reasons(list(self._ledger.find_all(set(known)).values()))
        return len(why) == len(known) and all(each is not None and each.ends for each in why)


def _spread(serials: list[int]) -> list[int]:
    """Up to SAMPLE of these serials, spread evenly."""
    return serials[:: 1 + len(serials) // SAMPLE]


def _found(records: Mapping[int, TaskRecord], serials: list[int]) -> list[TaskRecord]:
    """The records of those of the tasks that are still alive."""
    return [records[serial] for serial in serials if serial in records]


def _lifetime(examined: list[TaskRecord], reasons: list[Reason | None], now: float) -> float | None:
    """How long the tasks live at most that end by themselves; None if any of them may live for longer."""
    ages = [
        now - record.created_at + why.ends_in_s
        for record, why in zip(examined, reasons, strict=True)
        if why is not None and why.ends_in_s is not None
    ]
    return max(ages) if ages and len(ages) == len(reasons) - reasons.count(None) else None


def _parents(
    group: WatchedGroup, children: Counter[int], records: Mapping[int, TaskRecord]
) -> Parents | None:
    """The group of the parents if each task has a living parent of its own; else None.

    ``children``: how many tasks of the group each parent has, by the parent's serial.
    """
    living = [records[serial] for serial in children if serial in records]
    kept = sum(children[each.serial] for each in living)
    followed = len(group.population.alive)
    if not living or kept < ALL_BUT_FEW * followed or kept > ONE_PARENT_EACH * len(living):
        return None
    groups = Counter(Parents(each.site.location, snapshot.coroutine(each())) for each in living)
    return groups.most_common(1)[0][0]


def _waits(records: list[TaskRecord]) -> list[tuple[str, int]]:
    """What these tasks wait on, the most frequent first; without those that have ended meanwhile."""
    kinds = (waits.kind_in_function(each()) for each in records)
    return Counter(kind for kind in kinds if kind).most_common(_KINDS)


def _is_hung_up(record: TaskRecord) -> bool:
    """Whether it holds a connection that its peer has closed."""
    return any(each.state is HeldConnectionState.PEER_CLOSED for each in connections(record()))


def _is_unwakeable(record: TaskRecord) -> bool:
    """Whether nothing but the task itself refers to what it waits for."""
    task = record()
    return abandoned.only_its_own(task) or (
        abandoned.other_holders(task) is abandoned.OtherHolders.NOBODY
    )
