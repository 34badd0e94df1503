from __future__ import annotations

import pytest

from qcfeed.cli import main
from qcfeed.control.handlers import findings
from qcfeed.diagnostics import rules
from qcfeed.diagnostics.demand import Reason, ReasonKind
from qcfeed.diagnostics.findings import Certainty
from qcfeed.diagnostics.history import LocationSeries
from qcfeed.diagnostics.observations import (
    Observations,
    Survivors,
    SuspectTasks,
    UntrackedTasks,
)
from qcfeed.diagnostics.survival import Survival
from qcfeed.diagnostics.unretrieved import UnretrievedGroup
from qcfeed.diagnostics.watchdog import Stall


def never_ending(reason: Reason | None = None) -> Survivors:
    survival = Survival(5.0, 60.0, 275, 0, 1_512.0, False, None, 300.0, 60.0, [7])
    return Survivors(
        "a.py:1",
        "g",
        "a.py:9",
        300,
        survival,
        0 if reason else 275,
        reason,
        [],
        60,
        0,
        0,
        None,
        None,
        [7],
    )


def everything() -> Observations:
    """A look in which every rule finds something."""
    series = LocationSeries("a.py:1", "f")
    for n in range(60):
        for name, value in (("live", 50 * n), ("spawned", 50 * n), ("destroyed", n)):
            getattr(series, name).append(value)
    tally = SuspectTasks("a.py:1", 1, 1, 9.0, "why", [7])
    return Observations(
        now=600.0,
        times=[10.0 * n for n in range(60)],
        series=[series],
        orphaned=[tally],
        stubborn=[tally],
        survivors=[never_ending(), never_ending(reason=Reason(ReasonKind.LONG_TIMER, 3_600.0))],
        abandoned=[SuspectTasks("a.py:1", 1, 1, 40.0, "why", [7])],
        stalls=[Stall(590.0, 2.0, ["a.py:2 f"], 7, "a.py:1")],
        late_wakeups=[Stall(590.0, 0.3, [])],
        unretrieved=[UnretrievedGroup("a.py:1", 1, 590.0, "KeyError: 1")],
        untracked=UntrackedTasks([10 * n for n in range(60)], coroutines=[("f", 3)]),
        incomplete=["cannot see 5 of 7 tasks: a new factory"],
    )


def test_every_rule_names_a_command_that_there_is() -> None:
    told = [findings.with_next(finding) for finding in rules.findings(everything())]
    assert {row.rule for row in told} == set(findings.NEXT_COMMANDS)
    assert len(told) == len(rules.RULES)
    suspected = {row.rule for row in told if row.certainty is Certainty.SUSPECTED}
    assert suspected == {"late_wakeup", "growing"}
    for row in told:
        program, command, *rest = row.next[0].split()
        assert program == "qcfeed"
        assert command in main.COMMANDS
        if rest and not rest[0].startswith("-") and command != "runbook":
            assert rest[0] in main.load(command).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("rule", ["cancelled_in_vain", "abandoned_future"])
def test_the_command_names_the_task(rule: str) -> None:
    (found,) = [f for f in rules.findings(everything()) if f.rule == rule]
    assert findings.with_next(found).next == ["qcfeed tasks show 7"]
