"""What the rule of never-ending tasks says, and what it leaves out because something explains it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from qcfeed.diagnostics import leak_rules
from qcfeed.diagnostics.demand import Reason, ReasonKind
from qcfeed.diagnostics.findings import Certainty, Finding
from qcfeed.diagnostics.object_holders import Holder, HolderPath
from qcfeed.diagnostics.object_rows import ObjectRow
from qcfeed.diagnostics.observations import (
    Explanation,
    Observations,
    Parents,
    Survivors,
    UntrackedTasks,
)
from qcfeed.diagnostics.survival import NEEDED, NEEDED_UNKNOWN, Survival
from qcfeed.diagnostics.wait_objects import WaitObject

SURVIVAL = Survival(
    age_s=5.0,
    window_s=60.0,
    old=275,
    ended=0,
    expected=1_512.0,
    is_known=False,
    usual_s=None,
    per_minute=300.0,
    oldest_s=60.0,
    serials=list(range(275)),
)


def survivors(location: str = "bot.py:88", **more: Any) -> Survivors:
    given: dict[str, Any] = {
        "coroutine": "Client.watch",
        "defined_at": "bot.py:20",
        "live": 300,
        "survival": SURVIVAL,
        "unexplained": 275,
        "reason": None,
        "waits": [("Queue.get", 58), ("sleeping", 2)],
        "examined": 60,
        "hung_up": 0,
        "unwakeable": 0,
        "shared": None,
        "parents": None,
        "serials": [3, 4],
    }
    return Survivors(location=location, **given | more)


def found(*groups: Survivors) -> list[Finding]:
    return list(leak_rules.never_ending(Observations(now=0.0, survivors=list(groups))))


def told(*groups: Survivors, **more: Any) -> list[str]:
    return list(leak_rules.explained(Observations(now=0.0, survivors=list(groups), **more)))


def test_unexplained_tasks_are_a_likely_leak_with_the_figures_behind_it() -> None:
    (finding,) = found(survivors())
    assert (finding.rule, finding.certainty) == ("never_ending", Certainty.LIKELY)
    assert (finding.location, finding.count, finding.per_minute) == ("bot.py:88", 275, 300.0)
    assert (finding.since_s, finding.serials) == (60.0, [3, 4])
    assert finding.summary == (
        "275 tasks do not end: of those older than 5 s, none ended in the last 60 s"
    )
    assert finding.evidence == [
        "most common wait: Queue.get (58 of 60 examined)",
        "hardly any task created here has ever ended; sound tasks of that age would have ended 1,512 times",
        "they run Client.watch (bot.py:20); 300 more per minute",
    ]
    assert told(survivors()) == []


def test_it_is_proved_if_sound_tasks_of_the_group_are_known_and_the_numbers_are_large() -> None:
    known = replace(SURVIVAL, is_known=True, usual_s=0.4, old=1_000, expected=5_000.0)
    (finding,) = found(survivors(survival=known, unexplained=1_000))
    assert finding.certainty is Certainty.PROVED
    assert finding.evidence[1].startswith("others of this coroutine end after 0.4 s")
    for less in (replace(known, ended=1), replace(known, expected=200.0)):
        (finding,) = found(survivors(survival=less, unexplained=1_000))
        assert finding.certainty is Certainty.LIKELY
    assert found(survivors(survival=known, unexplained=200))[0].certainty is Certainty.LIKELY


def test_explained_tasks_are_no_finding_and_are_told() -> None:
    for kind in (ReasonKind.OWNER, ReasonKind.CONNECTION, ReasonKind.TIMER):
        explained = survivors(unexplained=0, reason=Reason(kind, 60.0))
        assert found(explained) == []
        assert told(explained) == [f"bot.py:88: 300 live, +300 per minute; {kind.value}"]


def test_of_partly_explained_tasks_only_the_others_count() -> None:
    partly = survivors(unexplained=110, reason=Reason(ReasonKind.CONNECTION))
    (finding,) = found(partly)
    assert (finding.count, finding.per_minute) == (110, 120.0)
    assert "165 others of that age are explained: each holds an open connection" in finding.evidence
    assert "sound tasks of that age would have ended 605 times" in finding.evidence[1]


@pytest.mark.parametrize(
    ("unexplained", "others"), [(275, None), (274, "1 other"), (200, "75 others")]
)
def test_how_many_of_that_age_are_explained_is_told_if_there_are_any(
    unexplained: int, others: str | None
) -> None:
    (finding,) = found(survivors(unexplained=unexplained, reason=Reason(ReasonKind.TIMER)))
    told = [line for line in finding.evidence if "explained" in line]
    assert [line.partition(" of ")[0] for line in told] == ([] if others is None else [others])


def test_too_few_unexplained_tasks_are_not_reported() -> None:
    assert found(survivors(unexplained=NEEDED_UNKNOWN.old - 1)) == []
    assert len(found(survivors(unexplained=NEEDED_UNKNOWN.old))) == 1
    known = replace(SURVIVAL, is_known=True, usual_s=0.4)
    assert found(survivors(survival=known, unexplained=NEEDED.old - 1)) == []
    assert len(found(survivors(survival=known, unexplained=NEEDED.old))) == 1


def test_a_task_that_belongs_to_a_living_parent_is_judged_with_it() -> None:
    child = survivors("bot.py:90", parents=Parents("bot.py:88", "Client.watch"))
    assert found(child) == []
    assert told(child) == [
        "bot.py:90: 300 live, +300 per minute; each belongs to a living task of its own, created at bot.py:88"
    ]
    (finding,) = found(child, survivors())
    assert finding.location == "bot.py:88"
    assert (
        "each has a task of its own, created at bot.py:90, that does not end either"
        in finding.evidence
    )
    explained = survivors(unexplained=0, reason=Reason(ReasonKind.CONNECTION))
    assert found(child, explained) == []


def test_tasks_that_start_their_successors_are_a_leak_of_their_own() -> None:
    chain = survivors(parents=Parents("bot.py:88", "Client.watch"))
    (finding,) = found(chain)
    assert (finding.location, finding.count) == ("bot.py:88", 275)
    assert told(chain) == []


def test_a_helper_that_creates_parents_and_children_at_one_line_accuses_neither() -> None:
    children = survivors(coroutine="ping", parents=Parents("bot.py:88", "session"))
    sessions = survivors(coroutine="session", unexplained=0, reason=Reason(ReasonKind.CONNECTION))
    assert found(children, sessions) == []
    assert len(told(children, sessions)) == 2
    (finding,) = found(children, survivors(coroutine="session"))
    assert "they run session (bot.py:20); 300 more per minute" in finding.evidence


def test_groups_that_start_each_others_tasks_are_one_leak() -> None:
    ring = [
        survivors("a.py:1", parents=Parents("b.py:2", "Client.watch")),
        survivors("b.py:2", parents=Parents("a.py:1", "Client.watch")),
    ]
    for groups in (ring, ring[::-1]):
        (finding,) = found(*groups)
        assert finding.location == "a.py:1"
        assert any("b.py:2" in line for line in finding.evidence)
        assert told(*groups) == []


def test_children_of_children_belong_to_the_first_of_them() -> None:
    groups = [
        survivors("c.py:3", parents=Parents("b.py:2", "Client.watch")),
        survivors("a.py:1"),
        survivors("b.py:2", parents=Parents("a.py:1", "Client.watch")),
    ]
    (finding,) = found(*groups)
    assert finding.location == "a.py:1"
    assert sum("that does not end either" in line for line in finding.evidence) == 2
    assert found(groups[0], groups[2]) == [], "the tasks at a.py:1 end, and so will theirs"


def test_connections_that_the_peers_have_closed_are_told() -> None:
    (finding,) = found(survivors(hung_up=59))
    assert "59 of 60 examined hold a connection that the peer has closed" in finding.evidence


def test_it_is_proved_if_nobody_can_wake_them() -> None:
    (finding,) = found(survivors(unwakeable=60))
    assert finding.certainty is Certainty.PROVED
    assert finding.evidence[0] == (
        "nobody can wake them: nothing else refers to what they wait for (Queue.get)"
    )
    (some,) = found(survivors(unwakeable=59))
    assert some.certainty is Certainty.LIKELY
    assert some.evidence[:2] == [
        "most common wait: Queue.get (58 of 60 examined)",
        "nobody can wake 59 of 60 examined: nothing else refers to what they wait for",
    ]


def behind_a_lock(*, deadlock: bool) -> ObjectRow:
    holder = Holder(
        "holds", 12, "Task-9", "refresh", "bot.py:7", "Lock.acquire at bot.py:9 refresh"
    )
    lock = WaitObject("Lock", 3, name="Pool._lock", holders=(holder,))
    return ObjectRow(60, 1, lock, path=HolderPath(deadlock=deadlock))


def test_the_holder_of_the_object_that_all_wait_for_is_named() -> None:
    (finding,) = found(survivors(shared=behind_a_lock(deadlock=False)))
    assert finding.certainty is Certainty.LIKELY
    assert finding.evidence[0] == (
        "they wait for one Lock 3 (Pool._lock), held by task 12 (refresh) created at bot.py:7:"
        " Lock.acquire at bot.py:9 refresh"
    )
    (stuck,) = found(survivors(shared=behind_a_lock(deadlock=True)))
    assert stuck.certainty is Certainty.PROVED
    assert stuck.evidence[0].endswith("; deadlock with itself")


@pytest.mark.parametrize(
    ("reason", "evidence"),
    [
        (
            Reason(ReasonKind.LONG_TIMER, 3_600.0),
            ["about 18,000 will be alive before the first timer ends"],
        ),
        (Reason(ReasonKind.OPENED), []),
    ],
)
def test_what_explains_each_task_but_not_their_growth_is_a_suspicion(
    reason: Reason, evidence: list[str]
) -> None:
    seen = Observations(now=0.0, survivors=[survivors(unexplained=0, reason=reason)])
    assert list(leak_rules.never_ending(seen)) == []
    assert list(leak_rules.explained(seen)) == []
    (finding,) = leak_rules.without_limit(seen)
    assert (finding.rule, finding.certainty) == ("growing", Certainty.SUSPECTED)
    assert finding.summary == f"300 more tasks per minute: {reason.kind.value}"
    assert finding.evidence == evidence


def test_untracked_tasks_that_serve_connections_are_told_as_demand() -> None:
    untracked = UntrackedTasks([20, 30], coroutines=[("start", 30)], serving=30)
    assert told(untracked=untracked) == ["30 untracked tasks: each holds an open connection"]
    untracked.serving = 20
    assert told(untracked=untracked) == []


def test_explanations_of_slower_growth_are_told_too() -> None:
    explained = {
        "bot.py:88": Explanation("the owner of each is open"),
        "web.py:7": Explanation("each holds an open connection"),
    }
    assert told(survivors(), explained=explained) == ["web.py:7: each holds an open connection"]
