"""The answers about drills: the list, the active one, and the start and stop of one.

See answer.py for the fields and rules that all answers share.
"""

from __future__ import annotations

import msgspec

from qcfeed.model.answer import Answer


class AvailableDrill(msgspec.Struct, kw_only=True):
    """A drill that can be started.

    ``breaks``: what it breaks. ``alert_names``: alerts that fire if it lasts long enough. ``shows``: the
    command that shows the fault. ``number``: what N means in NAME=N, with ``default_number`` unless N is
    given; null if the drill takes no number.
    """

    name: str
    breaks: str
    alert_names: list[str]
    shows: str
    number: str | None
    default_number: float | None
    duration_s: float


class ActiveDrill(msgspec.Struct, kw_only=True):
    """The active drill. ``drill``: its name and number, as requested."""

    drill: str
    name: str
    active_s: float
    left_s: float
    alert_names: list[str]
    shows: str


class Drills(Answer, kw_only=True, tag="qcfeed.drills/2"):
    """``allowed``: whether drills may be started in this service."""

    allowed: bool
    active: ActiveDrill | None
    drills: list[AvailableDrill]


class StartDrillRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``drill``: NAME or NAME=N. It ends by itself after ``for_s``, or after its own duration."""

    drill: str
    for_s: float | None = None
    timeout_s: float = 10.0


class DrillStarted(Answer, kw_only=True, tag="qcfeed.drills.start/2"):
    active: ActiveDrill


class StopDrillRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    timeout_s: float = 10.0


class DrillStopped(Answer, kw_only=True, tag="qcfeed.drills.stop/1"):
    """``stopped``: the drill that was active; null if there was none."""

    stopped: str | None
