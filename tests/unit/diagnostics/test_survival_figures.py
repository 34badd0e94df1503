"""The figures of a suspicion, exactly, and the limits from which there is one. All times are binary fractions."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from qcfeed.diagnostics.survival import KNOWN_ENDS, MAX_TRACKED, Population, Survival

NOW = 4_096.0
YOUNG = [0.5 * n for n in range(1, 10)]
"""Ages of tasks that are younger than the lowest age that is judged, 5 s: enough that it goes on."""


def steady(step: float, until: float) -> list[float]:
    """Ages of tasks that have been created every ``step`` seconds."""
    return [step * n for n in range(1, round(until / step) + 1)]


def seen(
    ages: Iterable[float], *, ended: Iterable[float] = (), usual: Iterable[float] = ()
) -> Survival | None:
    """What is told of living tasks of these ages. ``ended``: ages at which others were last seen alive, two
    seconds ago. ``usual``: lifetimes that the ledger knows."""
    population = Population()
    population.note_usual(usual)
    alive = {1_000 - n: NOW - age for n, age in enumerate(sorted(ages))}
    gone = {n: NOW - 2.0 - age for n, age in enumerate(ended)}
    if gone:
        before = {serial: at for serial, at in alive.items() if at <= NOW - 2.0}
        population.look(NOW - 2.0, before | gone)
    population.look(NOW, alive)
    return population.survival(NOW)


def test_all_figures_of_a_steady_leak() -> None:
    assert seen(steady(0.25, until=20.0)) == Survival(
        age_s=5.0,
        window_s=20.0,
        old=61,
        ended=0,
        expected=sum(0.25 * n for n in range(61)) / 5.0,
        is_known=False,
        usual_s=None,
        per_minute=61 / 15 * 60,
        oldest_s=20.0,
        serials=[1_000 - n for n in range(79, 18, -1)],
    )


def test_the_window_is_as_long_as_tasks_have_been_created_and_the_median_lifetime_is_the_usual_one() -> (
    None
):
    found = seen(steady(0.25, until=16.0), usual=[0.5] * 11 + [1.5] * 10)
    assert found is not None
    assert (found.window_s, found.oldest_s, found.old) == (16.0, 16.0, 45)
    assert (found.is_known, found.usual_s) == (True, 0.5)


def test_a_slow_leak_is_judged_in_a_longer_window_and_at_a_higher_age() -> None:
    found = seen(steady(2.0, until=80.0), usual=[6.0] * KNOWN_ENDS)
    assert found is not None
    assert (found.age_s, found.window_s) == (10.0, 40.0)
    assert found.old == 16
    assert found.expected == sum(2.0 * n for n in range(16)) / 10.0
    assert found.per_minute == 16 / 30 * 60


# ---------------------------------------------------------------- the limits


def pairs(number: int) -> list[float]:
    """Ages from 5 to 20 s, twice ``number`` of them, whose mean is 12.5 s."""
    beyond = [15.0 * n / 32 for n in range(number)]
    return [5.0 + each for each in beyond] + [20.0 - each for each in beyond]


def test_forty_old_tasks_are_needed_where_no_end_is_known_and_fifteen_where_some_are() -> None:
    many = [*YOUNG, *pairs(20)]
    assert seen(many) is not None
    assert seen([each for each in many if each != 5.0]) is None
    few = [*YOUNG, *(20.0 - n for n in range(15))]
    known = [0.5] * KNOWN_ENDS
    assert seen(few, usual=known) is not None
    assert seen([each for each in few if each != 6.0], usual=known) is None
    assert seen(few, usual=known[1:]) is None, "one end fewer is known"


def test_sixty_ends_must_be_expected_where_none_is_known_and_fifteen_where_some_are() -> None:
    many = [*YOUNG, *pairs(20)]  # 40 tasks, 7.5 s beyond the age on average: 60 ends
    assert seen(many) is not None
    less = sorted(many)
    less[-2] -= 0.25
    assert seen(less) is None
    known = [0.5] * KNOWN_ENDS
    some = [5.0, 5.0, 5.0, 5.5, 7.0, 9.0, 10.5, 11.0, 11.0, 11.0, 12.0, 13.0, 13.5, 15.5, 16.0]
    assert sum(each - 5.0 for each in some) == 75.0
    assert seen([*YOUNG, *some], usual=known) is not None
    some[-2] -= 0.25
    assert seen([*YOUNG, *some], usual=known) is None


@pytest.mark.parametrize(("usual", "span"), [([], 20.0), ([0.5] * KNOWN_ENDS, 16.0)])
def test_tasks_must_have_been_created_for_so_long(usual: list[float], span: float) -> None:
    assert seen(steady(0.125, until=span), usual=usual) is not None
    assert seen(steady(0.125, until=span - 0.125), usual=usual) is None


def test_one_end_of_fifty_old_tasks_hides_no_leak_and_one_of_fewer_does() -> None:
    def aged(number: int) -> list[float]:
        return [*YOUNG, *([20.0, 16.0, 12.0, 8.0] * 13)[:number]]

    assert seen(aged(49), ended=[6.0]) is not None
    assert seen(aged(48), ended=[6.0]) is None
    found = seen(aged(49), ended=[6.0])
    assert found is not None
    assert found.ended == 1


def test_an_end_counts_by_the_middle_between_when_it_was_seen_last_and_when_it_was_missed() -> None:
    ages = [*YOUNG, *([20.0, 16.0, 12.0, 8.0] * 13)]
    at_the_age, before = seen(ages, ended=[4.0]), seen(ages, ended=[3.75])
    assert at_the_age is not None
    assert before is not None
    assert (at_the_age.ended, at_the_age.usual_s) == (1, None)
    assert (before.ended, before.usual_s) == (0, 4.75)


def test_tasks_must_still_be_created_at_three_tenths_of_the_rate_of_the_old_ones() -> None:
    old = [5.0 + 0.25 * n for n in range(1, 61)]  # 60 in 15 s: 20 in 5 s, of which 6 are enough
    assert seen([*old, *YOUNG[:6]]) is not None
    assert seen([*old, *YOUNG[:5]]) is None


def test_each_third_of_the_time_must_have_a_tenth_of_the_old_tasks() -> None:
    """The oldest is 20 s old, so the thirds end at ages of 10, 15 and 20 s."""
    third = [16.0, 20.0, *([17.0] * 3)]
    for few, found in ((5, True), (4, False)):
        for start in (5.5, 10.5):
            other = 10.5 if start == 5.5 else 5.5
            ages = [start] * few + [other + 0.5 * (n % 9) for n in range(50 - few - 20)]
            told = seen([*YOUNG, *ages, *third * 4])
            assert (told is not None) == found, (few, start)


@pytest.mark.parametrize(("before", "is_known"), [(20.0, True), (20.5, False)])
def test_only_ends_of_the_time_in_which_the_tasks_were_created_tell_how_long_others_take(
    before: float, is_known: bool
) -> None:
    alive = {n: NOW - age for n, age in enumerate([*YOUNG, *(20.0 - n for n in range(15))])}
    population = Population()
    gone = {1_000 + n: NOW - before - 1.0 for n in range(KNOWN_ENDS)}
    population.look(NOW - before - 0.5, gone)
    population.look(NOW - before, {})
    population.look(NOW - 2.0, {n: at for n, at in alive.items() if at <= NOW - 2.0})
    population.look(NOW, alive)
    assert (population.survival(NOW) is not None) == is_known


# ---------------------------------------------------------------- what is remembered


def test_nothing_is_told_of_no_tasks() -> None:
    assert seen([]) is None
    population = Population()
    assert not population.is_remembered
    population.look(NOW, {1: NOW})
    assert population.is_remembered
    population.look(NOW + 1.0, {})
    assert population.is_remembered, "an end is known"
    population.look(NOW + 1.0 + 1_280.0, {})
    assert population.is_remembered
    population.look(NOW + 1.0 + 1_280.5, {})
    assert not population.is_remembered


def test_ages_that_looks_are_too_rare_for_are_not_judged() -> None:
    ages = steady(0.25, until=40.0)
    alive = {n: NOW - age for n, age in enumerate(ages)}
    for pace, age in ((2.5, 5.0), (2.75, 10.0)):
        population = Population()
        population.look(NOW - pace, {n: at for n, at in alive.items() if at <= NOW - pace})
        population.look(NOW, alive)
        found = population.survival(NOW)
        assert found is not None
        assert found.age_s == age, "an age of at least two looks"


def test_of_more_tasks_than_are_tracked_every_second_is_followed_and_counts_twice() -> None:
    population = Population()
    step = 20.0 / (MAX_TRACKED + 1)
    alive = {n: NOW - step * (n + 1) for n in range(MAX_TRACKED)}
    population.look(NOW, alive)
    assert (population.mask, len(population.alive)) == (0, MAX_TRACKED)
    whole = population.survival(NOW + 0.5)
    population.look(NOW, alive | {MAX_TRACKED: NOW - 20.0})
    assert (population.mask, len(population.alive)) == (1, MAX_TRACKED // 2 + 1)
    assert all(serial % 2 == 0 for serial in population.alive)
    half = population.survival(NOW + 0.5)
    assert whole is not None
    assert half is not None
    assert half.old == pytest.approx(whole.old, abs=2)
    assert half.expected == pytest.approx(whole.expected, rel=0.01)
    assert half.per_minute == pytest.approx(whole.per_minute, rel=0.01)
    assert len(half.serials) * 2 == half.old


def test_ends_before_the_age_are_the_usual_lifetimes() -> None:
    found = seen(steady(0.25, until=20.0), ended=[0.5] * KNOWN_ENDS)
    assert found is not None
    assert (found.is_known, found.usual_s) == (True, 1.5)
    found = seen(steady(0.25, until=20.0), ended=[0.5] * (KNOWN_ENDS - 1))
    assert found is not None
    assert not found.is_known
