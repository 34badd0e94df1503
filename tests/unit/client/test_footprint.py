"""What counts as a leak."""

from __future__ import annotations

import msgspec
import pytest

from qcfeed.client.footprint import Footprint, memory_tolerance

NOTHING = Footprint(
    live=0, feed_count=0, subscriptions=0, connections=0, orphaned=0, resident_bytes=0
)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("live", "tasks"),
        ("feed_count", "feeds"),
        ("subscriptions", "subscriptions"),
        ("connections", "connections"),
        ("orphaned", "orphans"),
    ],
)
def test_one_more_of_anything_is_a_leak_and_one_fewer_is_not(name: str, word: str) -> None:
    assert msgspec.structs.replace(NOTHING, **{name: 1}).leaks(0) == [f"{word} +1"]
    assert msgspec.structs.replace(NOTHING, **{name: -1}).leaks(0) == []


def test_memory_is_a_leak_only_above_its_tolerance() -> None:
    grown = msgspec.structs.replace(NOTHING, resident_bytes=3 * 2**20)
    assert grown.leaks(3 * 2**20) == []
    assert grown.leaks(2**20) == ["memory +3.0 MiB, tolerance 1.0 MiB"]


def test_differences_are_taken_field_by_field() -> None:
    before = msgspec.structs.replace(NOTHING, live=5, resident_bytes=7)
    after = msgspec.structs.replace(NOTHING, live=6, feed_count=1, resident_bytes=5)
    assert after - before == msgspec.structs.replace(
        NOTHING, live=1, feed_count=1, resident_bytes=-2
    )


def test_more_cycles_see_a_smaller_leak_as_only_peers_held_at_once_are_allowed_for() -> None:
    assert memory_tolerance(0) == 16 * 2**20
    assert memory_tolerance(1000) - memory_tolerance(0) == 1000 * 8 * 2**10
