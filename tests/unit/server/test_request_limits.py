"""Requests take a bounded share of the loop's time, whoever sends them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from qcfeed.config import Config
from qcfeed.server import request_limits
from qcfeed.server.request_limits import LEAST_WAIT, TIME_BURST, TIME_SHARE, RequestLimits


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The loop's time, and the time that answers take."""
    at = SimpleNamespace(loop=100.0, worked=0.0)
    monkeypatch.setattr(request_limits, "time", SimpleNamespace(thread_time=lambda: at.worked))
    return at


def limits(clock: SimpleNamespace) -> RequestLimits:
    return RequestLimits(Config(), lambda: clock.loop, lambda _: None)


def work(clock: SimpleNamespace, seconds: float) -> None:
    clock.worked += seconds
    clock.loop += seconds


def test_cheap_requests_never_wait(clock: SimpleNamespace) -> None:
    judged = limits(clock)
    for _ in range(1_000):
        judged.timed(work, clock, 0.0001)
        assert judged.busy_for() == 0
        clock.loop += 0.0009


def test_expensive_requests_make_all_wait_until_their_share_is_earned(
    clock: SimpleNamespace,
) -> None:
    judged = limits(clock)
    judged.timed(work, clock, 1.0)
    assert judged.busy_for() == pytest.approx((1.0 - TIME_BURST) / TIME_SHARE)
    clock.loop += judged.busy_for()
    assert judged.busy_for() in (0, LEAST_WAIT)
    clock.loop += LEAST_WAIT
    assert judged.busy_for() == 0


def test_over_a_minute_they_take_their_share_and_no_more(clock: SimpleNamespace) -> None:
    judged, begun = limits(clock), clock.loop
    while clock.loop < begun + 60:
        if wait := judged.busy_for():
            clock.loop += wait
        else:
            judged.timed(work, clock, 0.007)
    assert clock.worked <= 60 * TIME_SHARE + TIME_BURST + 0.007
    assert clock.worked >= 60 * TIME_SHARE * 0.8


def test_an_answer_that_fails_is_charged_too(clock: SimpleNamespace) -> None:
    judged = limits(clock)

    def fail() -> None:
        work(clock, 1.0)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        judged.timed(fail)
    assert judged.busy_for() > 0
