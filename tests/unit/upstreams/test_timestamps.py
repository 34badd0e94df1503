from __future__ import annotations

from qcfeed.upstreams.timestamps import Timestamps, render

NOON = 1_710_900_900_000_000_000


def test_render_keeps_nanoseconds() -> None:
    assert render(NOON + 123_456_789) == "2024-03-20T02:15:00.123456789Z"
    assert render(0) == "1970-01-01T00:00:00.000000000Z"


def test_now_equals_render_across_seconds() -> None:
    times = [NOON, NOON + 1, NOON + 999_999_999, NOON + 1_000_000_000, NOON + 60_000_000_000]
    clock = iter(times)
    now = Timestamps(lambda: next(clock))
    assert [now() for _ in times] == [render(time) for time in times]


def test_a_clock_set_back_is_followed() -> None:
    clock = iter([NOON, NOON - 3_600_000_000_000])
    now = Timestamps(lambda: next(clock))
    assert now() == "2024-03-20T02:15:00.000000000Z"
    assert now() == "2024-03-20T01:15:00.000000000Z"


def test_a_timestamp_of_some_seconds_ago() -> None:
    now = Timestamps(lambda: NOON)
    assert now(0.25) == render(NOON - 250_000_000)
