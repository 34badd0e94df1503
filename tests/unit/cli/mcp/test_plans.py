"""Plans: carried out once, in time, by their id."""

from __future__ import annotations

import pytest

from qcfeed.cli.mcp.plans import LIFETIME_S, MOST, Plan, Plans
from qcfeed.errors import NotFoundError
from qcfeed.model.answer import Answer


def nothing(_: str) -> Answer:
    return Answer()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def plans(clock: Clock) -> Plans:
    return Plans(clock)


def test_a_plan_is_taken_once(plans: Plans) -> None:
    plan = plans.add("reap", nothing)
    assert plans.take(plan.id) == Plan(plan.id, "reap", 100.0, nothing)
    with pytest.raises(NotFoundError, match="nothing was done"):
        plans.take(plan.id)


def test_a_plan_is_valid_until_its_time_is_over(plans: Plans, clock: Clock) -> None:
    kept, late = plans.add("kept", nothing), plans.add("late", nothing)
    clock.now += LIFETIME_S
    assert plans.take(kept.id).summary == "kept"
    clock.now += 0.1
    with pytest.raises(NotFoundError):
        plans.take(late.id)


def test_only_the_newest_plans_are_kept(plans: Plans) -> None:
    made = [plans.add(str(n), nothing) for n in range(MOST + 1)]
    assert len({each.id for each in made}) == MOST + 1
    with pytest.raises(NotFoundError):
        plans.take(made[0].id)
    assert plans.take(made[1].id).summary == "1"


def test_an_id_cannot_be_guessed_from_another(plans: Plans) -> None:
    assert len(plans.add("reap", nothing).id) == 8
