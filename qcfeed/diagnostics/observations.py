"""What the rules of rules.py look at. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field

from qcfeed.diagnostics.history import Series
from qcfeed.diagnostics.unretrieved import UnretrievedGroup
from qcfeed.diagnostics.watchdog import Stall


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
    """

    counts: list[int] = field(default_factory=list)
    tracked: int = 0
    coroutines: list[tuple[str, int]] = field(default_factory=list)


@dataclass(slots=True)
class Observations:
    """Everything that the rules look at, as of ``now`` (``time.monotonic()``).

    ``times``: when the snapshots behind ``series`` were taken. ``orphaned``: tasks whose owner is
    gone. ``stubborn``: tasks that were cancelled more than once and are alive. ``abandoned``: tasks
    that wait for a future that no other object refers to. ``incomplete``: why the ledger may not see
    all tasks. ``untold``: checks that were skipped, each with the reason.
    """

    now: float
    times: list[float] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    orphaned: list[SuspectTasks] = field(default_factory=list)
    stubborn: list[SuspectTasks] = field(default_factory=list)
    abandoned: list[SuspectTasks] = field(default_factory=list)
    stalls: list[Stall] = field(default_factory=list)
    late_wakeups: list[Stall] = field(default_factory=list)
    unretrieved: list[UnretrievedGroup] = field(default_factory=list)
    untracked: UntrackedTasks = field(default_factory=UntrackedTasks)
    incomplete: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
