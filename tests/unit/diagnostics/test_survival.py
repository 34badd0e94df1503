"""Which populations of tasks are suspected of a leak, told from simulated births and deaths.

Each population is a stream of (born at, lives for) pairs, looked at every two seconds as the sampler does.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator

import pytest

from qcfeed.diagnostics.survival import (
    MAX_TRACKED,
    NEEDED,
    NEEDED_UNKNOWN,
    Population,
    Survival,
)

FOR_EVER = float("inf")
EVERY = 2.0
Life = tuple[float, float]
"""When a task is created and how long it lives, in seconds."""


def births(rate: float, until: float, since: float = 0.0) -> Iterator[float]:
    """Creation at random moments, ``rate`` per second on average."""
    chance, now = random.Random(7), since
    while (now := now + chance.expovariate(rate)) < until:
        yield now


def lives(
    rate: float, length: Callable[[random.Random], float], until: float = 300.0
) -> list[Life]:
    chance = random.Random(11)
    return [(at, length(chance)) for at in births(rate, until)]


def watch(tasks: Iterable[Life], until: float, *, usual: Iterable[float] = ()) -> Population:
    """A population that was looked at until a moment."""
    numbered = list(enumerate(sorted(tasks)))
    population, now = Population(), 0.0
    population.note_usual(usual)
    while now <= until:
        alive = {
            serial: born
            for serial, (born, length) in numbered
            if born <= now < born + length and not serial & population.mask
        }
        population.look(now, alive)
        now += EVERY
    return population


def first_suspected(tasks: list[Life], until: float = 300.0) -> float | None:
    """When a leak is suspected first."""
    numbered = list(enumerate(sorted(tasks)))
    population, now = Population(), 0.0
    while now <= until:
        population.look(now, {n: at for n, (at, length) in numbered if at <= now < at + length})
        if population.survival(now) is not None:
            return now
        now += EVERY
    return None


def leak(rate: float, since: float = 0.0, until: float = 300.0) -> list[Life]:
    return [(at, FOR_EVER) for at in births(rate, until, since)]


@pytest.mark.parametrize(("rate", "within"), [(50, 24), (5, 26), (1, 80), (0.2, 300)])
def test_a_leak_is_suspected_in_time(rate: float, within: float) -> None:
    found = first_suspected(leak(rate))
    assert found is not None
    assert found <= within


@pytest.mark.parametrize("rate", [5, 1])
def test_a_leak_among_honest_tasks_of_the_group_is_suspected_in_time(rate: float) -> None:
    honest = lives(100, lambda chance: chance.expovariate(1 / 0.4))
    found = first_suspected(leak(rate) + honest)
    assert found is not None
    assert found <= (20 if rate == 5 else 40)


def test_a_leak_that_begins_late_is_suspected_as_soon() -> None:
    pool = [(0.1 * n, FOR_EVER) for n in range(50)]
    honest = lives(20, lambda chance: chance.uniform(0.1, 2.0))
    found = first_suspected(pool + honest + leak(5, since=200.0))
    assert found is not None
    assert 200.0 < found <= 230.0


SOUND: dict[str, list[Life]] = {
    "a pool at the start": [(0.01 * n, FOR_EVER) for n in range(500)],
    "short tasks": lives(200, lambda chance: chance.expovariate(1 / 0.2)),
    "tasks of some seconds": lives(20, lambda chance: chance.uniform(1, 20)),
    "exponential lifetimes of a minute": lives(5, lambda chance: chance.expovariate(1 / 60)),
    "a heavy tail": lives(50, lambda chance: 0.5 * chance.paretovariate(1.2)),
    "a burst that ends": [(0.01 * n, 12.0 + 0.05 * n) for n in range(400)],
    "a batch every minute that takes half a minute": [
        (60.0 * batch + 0.01 * n, 30.0) for batch in range(5) for n in range(100)
    ],
    "a queue in which the oldest ends first": [
        (at, 2.0 + 0.8 * at) for at in births(5, until=150.0)
    ],
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_population_is_never_suspected(name: str) -> None:
    assert first_suspected(SOUND[name]) is None


def test_work_that_takes_a_minute_is_suspected_only_until_the_first_has_ended() -> None:
    """Nothing tells it apart before, except what explains it (demand.py)."""
    tasks = lives(5, lambda _: 60.0)
    found = first_suspected(tasks)
    assert found is not None
    assert found < 60.0
    for now in (70.0, 120.0, 300.0):
        assert watch(tasks, now).survival(now) is None


def test_it_stops_when_the_leak_is_stopped() -> None:
    leaked = leak(5, until=60.0)
    assert watch(leaked, 60.0).survival(60.0) is not None
    assert watch(leaked, 120.0).survival(120.0) is None


def test_the_odd_end_does_not_hide_a_leak() -> None:
    leaked = [(at, 6.0 if n % 100 == 50 else FOR_EVER) for n, (at, _) in enumerate(leak(5))]
    assert watch(leaked, 120.0).survival(120.0) is not None
    chance = random.Random(3)
    every_tenth = [
        (at, chance.uniform(6, 90) if n % 10 == 5 else FOR_EVER)
        for n, (at, _) in enumerate(leak(5))
    ]
    assert watch(every_tenth, 120.0).survival(120.0) is None


def seen(tasks: list[Life], at: float) -> Survival:
    found = watch(tasks, at).survival(at)
    assert found is not None
    return found


def test_the_figures_of_a_suspicion() -> None:
    tasks = [(0.2 * n, FOR_EVER) for n in range(1, 1_000)]
    found = seen(tasks, 40.0)
    assert (found.age_s, found.ended, found.is_known, found.usual_s) == (5.0, 0, False, None)
    assert found.old == pytest.approx(75, abs=2)  # 5 per second, of those that are 5 to 20 s old
    assert found.per_minute == pytest.approx(300, rel=0.05)
    assert found.expected == pytest.approx(75 * 7.5 / 5, rel=0.05)
    assert found.serials == sorted(found.serials)
    assert len(found.serials) == found.old


def test_it_tells_how_long_the_others_take() -> None:
    found = seen(leak(2) + lives(50, lambda _: 0.5), 60.0)
    assert found.is_known
    assert found.usual_s is not None
    assert 0.0 < found.usual_s < 2.0
    told = watch(leak(2), 60.0, usual=[0.25] * 30).survival(60.0)
    assert told is not None
    assert (told.is_known, told.usual_s) == (True, 0.25)


def test_less_is_needed_where_the_usual_length_is_known() -> None:
    assert NEEDED.old < NEEDED_UNKNOWN.old
    assert NEEDED.expected < NEEDED_UNKNOWN.expected
    assert NEEDED.span_s < NEEDED_UNKNOWN.span_s


def test_of_many_tasks_a_part_is_followed_that_stands_for_all() -> None:
    tasks = leak(1_000, until=40.0)
    population = watch(tasks, 40.0)
    found = population.survival(40.0)
    assert found is not None
    assert len(population.alive) <= MAX_TRACKED
    assert population.mask
    assert all(not serial & population.mask for serial in population.alive)
    old = sum(40.0 - at >= found.age_s for at, _ in tasks if 40.0 - at <= found.window_s)
    assert found.old == pytest.approx(old, rel=0.1)
