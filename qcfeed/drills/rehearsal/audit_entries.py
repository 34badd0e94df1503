"""What was done to the service of a rehearsal, and by whom: its audit log."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

BY_ITSELF = "service"
"""Who acts where nobody asked: the drill's time was over (drills/active.py)."""


class Deed(NamedTuple):
    """One action that ended. ``at``: Unix seconds."""

    at: float
    action: str
    who: str
    outcome: str

    @property
    def by_somebody(self) -> bool:
        return self.who != BY_ITSELF


def deeds(lines: Iterable[str], since: float) -> list[Deed]:
    """What ended after ``since``, Unix seconds, by the lines of an audit log (control/audit.py)."""
    found = [json.loads(line) for line in lines]
    ended = [_deed(line) for line in found if line["event"] == "outcome"]
    return [deed for deed in ended if deed.at > since]


def _deed(line: dict[str, object]) -> Deed:
    who = line["who"]
    assert isinstance(who, dict)  # noqa: S101 - our own log
    at = datetime.fromisoformat(str(line["at"])).timestamp()
    name = BY_ITSELF if who["via"] == BY_ITSELF else who.get("user") or who["via"]
    return Deed(at, str(line["action"]), str(name), str(line["outcome"]))
