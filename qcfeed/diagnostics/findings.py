"""A finding: something wrong in a program, with its evidence. Data only, and quick to import."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class Certainty(StrEnum):
    """How sure a finding is.

    ``PROVED``: the evidence leaves no other explanation. ``LIKELY``: a healthy program would hardly look
    like this. ``SUSPECTED``: a healthy program could look like this for a while.
    """

    PROVED = "proved"
    LIKELY = "likely"
    SUSPECTED = "suspected"


@dataclass(slots=True)
class Finding:
    """One thing that a rule found wrong, with its evidence.

    ``serials``: some of the tasks, oldest first. ``recheck_s``: seconds after which to look again,
    for a suspected finding. ``count``: how many tasks, stalls or exceptions it is about;
    ``per_minute``: how fast ``count`` grows; ``since_s``: how long it has lasted so far.
    For stalls: ``worst_s`` is the longest, ``ago_s`` how long ago the last one ended, ``place`` the
    ``file:line function`` that blocked the loop, ``source`` the text of that line. ``next``: commands
    to type, for whoever shows the finding to a person.
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
    next: list[str] = field(default_factory=list)


class Doubt(NamedTuple):
    """What is no finding so far, and leaves open whether all is well: tasks of a location, in one sentence."""

    location: str
    text: str

    def __str__(self) -> str:
        return f"{self.location}: {self.text}"
