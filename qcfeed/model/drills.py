"""The answers about drills: which there are, which is on, and the start and end of one.

As in answers.py, which has their envelope and its rules.
"""

from __future__ import annotations

import msgspec

from qcfeed.model.answers import Answer


class Drill(msgspec.Struct, kw_only=True):
    """One that can be started. ``alerts``: those it makes fire when it lasts; ``shows``: the command
    that shows it. ``number``: what N is in NAME=N, ``usual`` unless it is given; null for nothing."""

    name: str
    breaks: str
    alert_names: list[str]
    shows: str
    number: str | None
    default_number: float | None
    duration_s: float


class ActiveDrill(msgspec.Struct, kw_only=True):
    """The one that is on. ``drill`` is its name and number, as it was asked for."""

    drill: str
    name: str
    active_s: float
    left_s: float
    alert_names: list[str]
    shows: str


class Drills(Answer, kw_only=True, tag="qcfeed.drills/2"):
    """``allowed``: whether this service may be broken on purpose."""

    allowed: bool
    active: ActiveDrill | None
    drills: list[Drill]


class StartDrillRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``drill`` is NAME or NAME=N; it ends by itself after ``for_s``, or its own time."""

    drill: str
    for_s: float | None = None
    timeout_s: float = 10.0


class DrillStarted(Answer, kw_only=True, tag="qcfeed.drills.start/2"):
    active: ActiveDrill


class StopDrillRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    timeout_s: float = 10.0


class DrillStopped(Answer, kw_only=True, tag="qcfeed.drills.stop/1"):
    """``stopped``: which one was on; null when none was."""

    stopped: str | None
