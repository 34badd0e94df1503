"""What the rules of rules.py look at, and what they answer: findings. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from qcfeed.diagnostics.history import Series
from qcfeed.diagnostics.unretrieved import Lost
from qcfeed.diagnostics.watchdog import Stall


class Verdict(StrEnum):
    """``SUSPECTED``: what is known would fit a healthy program too; time will tell."""

    PROVED = "proved"
    SUSPECTED = "suspected"


@dataclass(slots=True)
class Finding:
    """What a rule has to say. ``recheck_s``: when to look again, where that is the verdict.

    ``serials`` are of a few of the tasks, the oldest first. In figures: ``count`` of what was found,
    ``per_minute`` more of them, for ``since_s`` seconds so far; ``worst_s``: how long the loop did not
    turn, the last time ``ago_s`` ago. ``place`` is the ``file:line function`` that does it, ``source`` that line's text.
    """

    rule: str
    certainty: Verdict
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
class Tally:
    """Live tasks of one location of which one thing is true. ``proven``: of how many it has been
    true for PROOF_S. ``longest_s`` and ``evidence`` are of the one of which it is true longest."""

    location: str
    count: int = 0
    proven: int = 0
    longest_s: float = 0.0
    evidence: str = ""
    serials: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Around:
    """Live tasks that were created since the ledger was, but around it. ``counts`` are those of the
    snapshots, ``live`` the tracked tasks of the last, ``run`` the coroutines of a sample."""

    counts: list[int] = field(default_factory=list)
    live: int = 0
    run: list[tuple[str, int]] = field(default_factory=list)


@dataclass(slots=True)
class Look:
    """All that the rules look at, of the moment ``now`` (``time.monotonic()``).

    ``abandoned``: waiting for a future that nobody has; ``proven`` after ABANDONED_S.
    ``times`` are those of the snapshots behind ``series``. ``stubborn``: cancelled more than once.
    ``incomplete``: why the ledger may not see all tasks. ``untold``: what could not be looked at,
    and why.
    """

    now: float
    times: list[float] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    orphaned: list[Tally] = field(default_factory=list)
    stubborn: list[Tally] = field(default_factory=list)
    abandoned: list[Tally] = field(default_factory=list)
    stalls: list[Stall] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    around: Around = field(default_factory=Around)
    incomplete: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
