"""What the rules of rules.py look at. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from qcfeed.diagnostics.demand import Reason
from qcfeed.diagnostics.history import LocationSeries
from qcfeed.diagnostics.object_rows import ObjectRow
from qcfeed.diagnostics.survival import Survival
from qcfeed.diagnostics.unretrieved import UnretrievedGroup
from qcfeed.diagnostics.watchdog import Stall

MOST = 0.9
"""Share of a sample that counts as nearly all of it."""


@dataclass(slots=True)
class SuspectTasks:
    """The live tasks of one spawn location that share one symptom.

    ``proved``: how many of them have had it for long enough to be sure. ``longest_s`` and
    ``evidence`` are of the task that has had it longest.
    """

    location: str
    count: int = 0
    proved: int = 0
    longest_s: float = 0.0
    evidence: str = ""
    serials: list[int] = field(default_factory=list)


@dataclass(slots=True)
class UntrackedTasks:
    """Live tasks that were created around the ledger after it was installed.

    ``counts``: how many there were at each snapshot, oldest first. ``tracked``: live tracked tasks at
    the last snapshot. ``coroutines``: name and number of the coroutines that a sample of them runs.
    ``serving``: how many of that sample hold an open connection of their own.
    """

    counts: list[int] = field(default_factory=list)
    tracked: int = 0
    coroutines: list[tuple[str, int]] = field(default_factory=list)
    serving: int = 0

    @property
    def are_explained(self) -> bool:
        """Whether nearly all of them hold an open connection: then their number follows demand."""
        sampled = sum(number for _, number in self.coroutines)
        return sampled > 0 and self.serving >= MOST * sampled


class Parents(NamedTuple):
    """The group of the tasks that have created those of another group, one each."""

    location: str
    coroutine: str


class Explanation(NamedTuple):
    """Why a location has more and more live tasks. ``lifetime_s``: how long each lives at most; None if that
    is not known. The number of tasks created at a steady rate rises for so long, and not for longer."""

    text: str
    lifetime_s: float | None = None


@dataclass(slots=True)
class Survivors:
    """Live tasks of one spawn location and coroutine of which none, or hardly any, ends.

    ``live``: all live tasks of the group. ``unexplained``: how many of the old ones have no reason to
    live for so long; 0 if nearly all have one. ``reason``: the most frequent reason. ``parents``: the
    group of the parents, if each task has a living one of its own. ``defined_at``: where the coroutine
    function is. The other fields are about ``examined`` tasks: the unexplained ones, or all of the sample
    if there are none. ``waits``: what they wait on, the most frequent first. ``hung_up``: how many hold a
    connection that its peer has closed. ``unwakeable``: how many wait for an object that nothing else
    refers to. ``shared``: the one object that nearly all of them wait for.
    """

    location: str
    coroutine: str
    defined_at: str
    live: int
    survival: Survival
    unexplained: int
    reason: Reason | None
    waits: list[tuple[str, int]]
    examined: int
    hung_up: int
    unwakeable: int
    shared: ObjectRow | None
    parents: Parents | None
    serials: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Observations:
    """Everything that the rules look at, as of ``now`` (``time.monotonic()``).

    ``times``: when the snapshots behind ``series`` were taken. ``orphaned``: tasks whose owner is
    gone. ``stubborn``: tasks that were cancelled more than once and are alive. ``survivors``:
    groups of tasks that do not end. ``early``: groups of which a few tasks do not end so far.
    ``explained``: by location, what explains that its tasks grow in
    number. ``abandoned``: tasks that wait for a future that no other object refers to. ``incomplete``:
    why the ledger may not see all tasks. ``skipped``: checks that were skipped, each with the reason.
    """

    now: float
    times: list[float] = field(default_factory=list)
    series: list[LocationSeries] = field(default_factory=list)
    orphaned: list[SuspectTasks] = field(default_factory=list)
    stubborn: list[SuspectTasks] = field(default_factory=list)
    survivors: list[Survivors] = field(default_factory=list)
    early: list[Survivors] = field(default_factory=list)
    explained: dict[str, Explanation] = field(default_factory=dict)
    abandoned: list[SuspectTasks] = field(default_factory=list)
    stalls: list[Stall] = field(default_factory=list)
    late_wakeups: list[Stall] = field(default_factory=list)
    unretrieved: list[UnretrievedGroup] = field(default_factory=list)
    untracked: UntrackedTasks = field(default_factory=UntrackedTasks)
    incomplete: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
