"""Reads the audit log of a rehearsal's service: which actions were taken, and by whom."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from qcfeed import rfc3339

SERVICE = "service"
"""The actor of what the service does by itself, for example ending a drill (drills/runner.py)."""


class AuditEntry(NamedTuple):
    """One completed action. ``at`` is in Unix seconds."""

    at: float
    action: str
    who: str
    outcome: str

    @property
    def by_operator(self) -> bool:
        return self.who != SERVICE


def audit_entries(lines: Iterable[str], since: float) -> list[AuditEntry]:
    """The actions completed after ``since`` (Unix seconds), from an audit log's lines (control/audit.py)."""
    records = [json.loads(line) for line in lines]
    completed = [_entry(record) for record in records if record["event"] == "outcome"]
    return [entry for entry in completed if entry.at > since]


def _entry(line: dict[str, object]) -> AuditEntry:
    who = line["who"]
    assert isinstance(who, dict)  # noqa: S101 - our own log
    at = rfc3339.unix(str(line["at"]))
    name = SERVICE if who["via"] == SERVICE else who.get("user") or who["via"]
    return AuditEntry(at, str(line["action"]), str(name), str(line["outcome"]))
