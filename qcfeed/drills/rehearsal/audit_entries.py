"""What was done to the service of a rehearsal, and by whom: its audit log."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

SERVICE = "service"
"""Who acts where nobody asked: the drill's time was over (drills/active.py)."""


class AuditEntry(NamedTuple):
    """One action that ended. ``at``: Unix seconds."""

    at: float
    action: str
    who: str
    outcome: str

    @property
    def by_operator(self) -> bool:
        return self.who != SERVICE


def audit_entries(lines: Iterable[str], since: float) -> list[AuditEntry]:
    """What ended after ``since``, Unix seconds, by the lines of an audit log (control/audit.py)."""
    found = [json.loads(line) for line in lines]
    ended = [_entry(line) for line in found if line["event"] == "outcome"]
    return [entry for entry in ended if entry.at > since]


def _entry(line: dict[str, object]) -> AuditEntry:
    who = line["who"]
    assert isinstance(who, dict)  # noqa: S101 - our own log
    at = datetime.fromisoformat(str(line["at"])).timestamp()
    name = SERVICE if who["via"] == SERVICE else who.get("user") or who["via"]
    return AuditEntry(at, str(line["action"]), str(name), str(line["outcome"]))
