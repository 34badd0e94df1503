"""Which alerts have fired, and when they resolved."""

from __future__ import annotations

from typing import Any

from qcfeed.drills.rehearsal.pager import Notification, Pager


def alert(name: str, state: str = "firing") -> dict[str, Any]:
    return {"labels": {"alertname": name}, "state": state, "annotations": {"summary": f"{name}!"}}


def test_an_alert_is_reported_once_and_then_resolved() -> None:
    pager = Pager(["A", "B"])
    assert pager.update([alert("A", "pending")], 1.0) == []
    assert pager.update([alert("A")], 2.0) == [Notification("A", {"summary": "A!"}, 2.0)]
    assert pager.update([alert("A")], 3.0) == []
    assert pager.firing == ["A"]
    assert pager.update([], 4.0) == pager.update([], 5.0) == []
    assert pager.notifications == {"A": Notification("A", {"summary": "A!"}, 2.0, 4.0)}
    assert pager.firing == []
    assert pager.missing == ["B"]


def test_an_alert_that_fires_again_is_not_reported_again_and_not_resolved() -> None:
    pager = Pager(["A"])
    pager.update([alert("A")], 1.0)
    pager.update([], 2.0)
    assert pager.update([alert("A")], 3.0) == []
    assert pager.firing == ["A"]
    pager.update([], 4.0)
    assert pager.notifications["A"] == Notification("A", {"summary": "A!"}, 1.0, 4.0, times=2)


def test_other_alerts_than_the_drill_s_are_recorded_but_not_waited_for() -> None:
    pager = Pager(["A"])
    assert [each.name for each in pager.update([alert("A"), alert("Other")], 1.0)] == ["A", "Other"]
    pager.update([alert("Other")], 2.0)
    assert pager.firing == []
    assert list(pager.notifications) == ["A", "Other"]
