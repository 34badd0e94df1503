"""What the rules of rules.py look at (``Observations``) and what they answer (``Finding``). Data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from qcfeed.diagnostics.history import Series
from qcfeed.diagnostics.unretrieved import UnretrievedGroup
from qcfeed.diagnostics.watchdog import Stall


class Certainty(StrEnum):
    """How sure a finding is.

    ``SUSPECTED``: a healthy program could look the same for a while.
    """

    PROVED = "proved"
    SUSPECTED = "suspected"


@dataclass(slots=True)
class Finding:
    """One thing that a rule found wrong, with its evidence.

    ``serials``: some of the tasks, oldest first. ``recheck_s``: seconds after which to look again,
    for a suspected finding. ``count``: how many tasks, stalls or exceptions it is about;
    ``per_minute``: how fast ``count`` grows; ``since_s``: how long it has lasted so far.
    Of stalls: ``worst_s`` is the longest, ``ago_s`` how long ago the last one ended, ``place`` the
    ``file:line function`` that blocked the loop, ``source`` the text of that line.
    """

    rule: str
    certainty: Certainty
    summary: str
    location: str = ""
    evidence: list[str] = field(default_factory=list)
    serials: list[int] = field(default_factory=list)
    recheck_s: float | None = None
    count: int = 0
    per_minute: float | None = None
    since_s: float | None = None
    worst_s: float | None = None
    ago_s: float | None = None
    place: str = ""
    source: str = ""


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
    unretrieved: list[UnretrievedGroup] = field(default_factory=list)
    untracked: UntrackedTasks = field(default_factory=UntrackedTasks)
    incomplete: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
