"""What is too little for a finding, and too much for the word HEALTHY."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from qcfeed.diagnostics import growth_rules, leak_rules
from qcfeed.diagnostics.demand import Reason, ReasonKind
from qcfeed.diagnostics.findings import Doubt
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.observations import Explanation, Observations, Parents
from qcfeed.diagnostics.rules import findings, undecided
from qcfeed.diagnostics.survival import FEW
from qcfeed.diagnostics.survivors import MAX_EARLY
from tests.unit.diagnostics.test_leak_rules import survivors
from tests.unit.diagnostics.test_rules_figures import series
from tests.unit.diagnostics.test_survival import FOR_EVER, lives, watch
from tests.unit.diagnostics.test_survivors import Stage, forever, sleep_once


def doubts(**seen: Any) -> list[Doubt]:
    looked = Observations(**{"now": 0.0, **seen})
    return undecided(looked, findings(looked))


@pytest.fixture
async def stage(ledger: Ledger) -> AsyncIterator[Stage]:
    stage = Stage(ledger)
    yield stage
    await stage.end(stage.tasks)


# ---------------------------------------------------------------- few tasks that do not end


@pytest.mark.parametrize("every", [1, 5, 10])
def test_a_slow_leak_is_in_doubt_after_a_minute_and_a_half(every: int) -> None:
    slow = [(float(n), FOR_EVER) for n in range(0, 300, every)]
    early = watch(slow, until=90.0).early(90.0)
    assert early is not None
    assert early.old >= FEW.old


def test_leaked_tasks_are_in_doubt_among_as_many_that_end_after_half_a_minute() -> None:
    leaked = [(0.4 * n, FOR_EVER) for n in range(400)]
    ending = [(0.4 * n + 0.2, 30.0) for n in range(400)]
    mixed = watch(leaked + ending, until=62.0)
    assert mixed.survival(62.0) is None
    assert mixed.early(62.0) is not None


@pytest.mark.parametrize("until", [60.0, 90.0, 120.0, 180.0, 299.0])
def test_tasks_that_end_are_not_in_doubt(until: float) -> None:
    busy = lives(20, lambda chance: chance.uniform(0.1, 8))
    assert watch(busy, until).early(until) is None
    pool = [(0.01 * n, FOR_EVER) for n in range(40)]
    assert watch(pool, until).early(until) is None


async def test_a_few_tasks_are_described_with_what_explains_them(stage: Stage) -> None:
    await stage.start(forever, 8, over_s=80.0)
    await stage.start(sleep_once, 8, over_s=80.0)
    assert stage.look() == []
    leaked, explained = sorted(stage.watch.early(stage.now), key=lambda each: each.coroutine)
    assert (leaked.coroutine, leaked.unexplained) == ("forever", leaked.survival.old)
    assert (explained.coroutine, explained.unexplained) == ("sleep_once", 0)
    assert explained.reason is not None
    assert explained.reason.kind is ReasonKind.TIMER


async def test_groups_with_enough_tasks_are_no_doubt_and_of_others_only_the_largest(
    stage: Stage,
) -> None:
    await stage.start(forever, 200)
    names: dict[str, Any] = {"asyncio": asyncio}
    for number in range(MAX_EARLY + 5):
        exec(f"async def wait_{number}(): await asyncio.Event().wait()", names)
        await stage.start(names[f"wait_{number}"], 8 if number else 30, over_s=80.0)
    assert [each.coroutine for each in stage.look()] == ["forever"]
    early = stage.watch.early(stage.now)
    assert len(early) == MAX_EARLY
    assert early[0].coroutine == "wait_0"


def test_a_few_unexplained_tasks_are_a_doubt() -> None:
    few = survivors(unexplained=FEW.old)
    (doubt,) = doubts(early=[few])
    assert str(doubt) == (
        "bot.py:88: 5 tasks have not ended so far, too few to judge; 300.0 more per minute"
    )
    assert doubts(early=[survivors(unexplained=FEW.old - 1)]) == []


def test_a_part_of_many_tasks_that_is_too_small_to_accuse_is_a_doubt() -> None:
    part = survivors(unexplained=30, reason=Reason(ReasonKind.CONNECTION))
    assert findings(Observations(now=0.0, survivors=[part])) == []
    assert len(doubts(survivors=[part])) == 1


def test_what_is_accused_is_no_doubt() -> None:
    assert doubts(survivors=[survivors()]) == []
    assert doubts(survivors=[survivors()], early=[survivors(unexplained=9)]) == []


@pytest.mark.parametrize("kind", [each for each in ReasonKind if each is not ReasonKind.PARENT])
def test_few_tasks_are_no_doubt_if_they_are_explained_and_so_is_their_growth(
    kind: ReasonKind,
) -> None:
    explained = survivors(unexplained=0, reason=Reason(kind))
    assert bool(doubts(early=[explained])) is not kind.explains_growth


def test_children_of_tasks_in_doubt_are_not_told_apart_from_them() -> None:
    parents = survivors("a.py:1", unexplained=6, coroutine="session")
    children = survivors("a.py:9", unexplained=6, parents=Parents("a.py:1", "session"))
    assert [each.location for each in doubts(early=[children, parents])] == ["a.py:1"]
    assert list(leak_rules.undecided(Observations(now=0.0, early=[children]))) == []


# ---------------------------------------------------------------- growth


def minute(live: list[int], **more: Any) -> list[Doubt]:
    times = [10.0 * n for n in range(len(live))]
    return doubts(series=[series(live)], times=times, **more)


def test_growth_of_a_minute_is_a_doubt() -> None:
    (doubt,) = minute([10, 60, 110, 160, 210, 260])
    assert str(doubt) == "a.py:1: live tasks have grown: 10 to 260 in 50 s, +300 per minute"
    assert minute([10, 60, 110, 160, 210]) == [], "less than a minute"
    assert minute([260, 260, 260, 260, 260, 260]) == []
    assert minute([10, 60, 110, 160, 160, 160]) == [], "it has stopped"


def test_slower_growth_shows_in_two_minutes() -> None:
    slow = [100 + 9 * n for n in range(12)]
    assert minute(slow[-6:]) == []
    (doubt,) = minute(slow)
    assert doubt.text == "live tasks have grown: 100 to 199 in 110 s, +54 per minute"


def test_growth_that_is_explained_or_found_is_no_doubt() -> None:
    grows = [10 + 50 * n for n in range(6)]
    assert minute(grows, explained={"a.py:1": Explanation("the owner of each is open")}) == []
    long = [10 + 50 * n for n in range(18)]
    assert minute(long) == []


@pytest.mark.parametrize(("lifetime_s", "is_found"), [(3.0, True), (113.0, True), (114.0, False)])
def test_tasks_that_end_soon_explain_growth_only_for_as_long_as_they_live(
    lifetime_s: float, is_found: bool
) -> None:
    """Each task ends; a chain of tasks that start each other does not."""
    climbs = [10 + 50 * n for n in range(18)]
    why = {"a.py:1": Explanation("each waits for one timer and then ends", lifetime_s)}
    times = [10.0 * n for n in range(18)]
    seen = Observations(now=0.0, series=[series(climbs)], times=times, explained=why)
    assert bool(list(growth_rules.growing(seen))) is is_found


# ---------------------------------------------------------------- kinds of programs


async def test_a_function_that_is_compiled_again_and_again_is_one_function(stage: Stage) -> None:
    text = "async def watch(changed):\n    await changed.wait()\n"

    def rule() -> Any:
        names: dict[str, Any] = {}
        exec(compile(text, "rule", "exec"), names)
        return names["watch"](asyncio.Event())

    await stage.start(rule, 200)
    (found,) = stage.look()
    assert (found.coroutine, found.live, found.unexplained) == ("watch", 200, found.survival.old)


async def behind(lock: asyncio.Lock) -> None:
    async with lock:
        pass


@pytest.mark.parametrize("ends", [True, False])
async def test_tasks_behind_a_lock_are_explained_if_its_holder_ends_by_itself(
    stage: Stage, ends: bool
) -> None:
    lock = asyncio.Lock()

    async def hold() -> None:
        async with lock:
            await (asyncio.sleep(90) if ends else asyncio.Event().wait())

    holder = asyncio.create_task(hold())
    await asyncio.sleep(0)
    await stage.start(lambda: behind(lock), 200)
    (found,) = stage.look()
    assert found.unexplained == (0 if ends else found.survival.old)
    assert (found.reason is not None and found.reason.kind is ReasonKind.TURN) is ends
    seen = Observations(now=0.0, survivors=[found])
    assert {each.rule for each in findings(seen)} == {"growing" if ends else "never_ending"}
    holder.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await holder
