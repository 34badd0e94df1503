from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcfeed.workers.health import STUCK_AFTER, WorkerHealth

LIMIT = 30.0


def test_a_worker_that_does_not_answer_is_named_and_then_overdue() -> None:
    health = WorkerHealth(LIMIT)
    found = []
    for asked_at in range(0, 40, 2):
        health.silent(float(asked_at), "it does not answer")
        now = asked_at + 2.0
        found.append((health.stuck_for(now), health.overdue(now)))
    assert found[1] == (0.0, False)
    assert found[2] == (6.0, False)
    assert found[13] == (28.0, False)
    assert found[14] == (30.0, True)
    assert health.describe(40.0) == "it does not answer, for 40 s"


def test_a_loop_that_does_not_run_counts_from_when_it_stopped() -> None:
    health = WorkerHealth(LIMIT)
    for now in (10.0, 12.0, 14.0):
        health.answered(now, stalled_for=now - 6.0)
    assert health.stuck_for(14.0) == 8.0
    assert "event loop" in health.describe(14.0)
    health.answered(16.0, stalled_for=0.2)
    assert health.stuck_for(16.0) == 0.0


def test_one_long_silence_proves_nothing_because_the_supervisor_may_have_been_stopped() -> None:
    health = WorkerHealth(LIMIT)
    health.silent(0.0, "it does not answer")
    assert not health.overdue(1_000.0)
    assert health.stuck_for(1_000.0) == 0.0


@pytest.mark.parametrize("limit", [0.0, 1.0, LIMIT])
@given(stalls=st.lists(st.floats(0, 100), max_size=20))
def test_only_a_limit_restarts_and_only_after_it(limit: float, stalls: list[float]) -> None:
    health = WorkerHealth(limit)
    for number, stalled in enumerate(stalls):
        now = 1_000.0 + number
        health.answered(now, stalled)
        if health.overdue(now):
            assert limit > 0
            assert health.stuck_for(now) >= limit
        elif limit:
            assert health.stuck_for(now) < limit
        if not stalled:
            assert health.stuck_for(now) == 0
        named_after = min(STUCK_AFTER, limit / 2) if limit else STUCK_AFTER
        assert health.stuck_for(now) == 0 or health.stuck_for(now) >= named_after
