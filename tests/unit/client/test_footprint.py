"""What counts as having leaks."""

from __future__ import annotations

import msgspec
import pytest

from qcfeed.client.footprint import Footprint, memory_tolerance

NOTHING = Footprint(tasks=0, feeds=0, subscriptions=0, connections=0, orphans=0, resident_bytes=0)


@pytest.mark.parametrize("name", ["tasks", "feeds", "subscriptions", "connections", "orphans"])
def test_one_too_many_of_anything_has_stayed_and_one_fewer_has_not(name: str) -> None:
    assert msgspec.structs.replace(NOTHING, **{name: 1}).leaks(0) == [f"{name} +1"]
    assert msgspec.structs.replace(NOTHING, **{name: -1}).leaks(0) == []


def test_memory_has_stayed_only_above_its_tolerance() -> None:
    grown = msgspec.structs.replace(NOTHING, resident_bytes=3 * 2**20)
    assert grown.leaks(3 * 2**20) == []
    assert grown.leaks(2**20) == ["memory +3.0 MiB, tolerated 1.0 MiB"]


def test_differences_are_taken_field_by_field() -> None:
    before = msgspec.structs.replace(NOTHING, tasks=5, resident_bytes=7)
    after = msgspec.structs.replace(NOTHING, tasks=6, feeds=1, resident_bytes=5)
    assert after - before == msgspec.structs.replace(NOTHING, tasks=1, feeds=1, resident_bytes=-2)


def test_more_cycles_see_a_smaller_leak_as_only_peers_held_at_once_are_allowed_for() -> None:
    assert memory_tolerance(0) == 16 * 2**20
    assert memory_tolerance(1000) - memory_tolerance(0) == 1000 * 8 * 2**10
