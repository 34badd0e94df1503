"""What counts as having stayed, and how long a service has to let go."""

from __future__ import annotations

import msgspec
import pytest

from qcfeed.client.cycles import Mode
from qcfeed.client.repro import Footprint, Plan
from qcfeed.core.symbol import Symbol

NOTHING = Footprint(tasks=0, feeds=0, subscriptions=0, connections=0, orphans=0, resident_bytes=0)


@pytest.mark.parametrize("name", ["tasks", "feeds", "subscriptions", "connections", "orphans"])
def test_one_too_many_of_anything_has_stayed_and_one_fewer_has_not(name: str) -> None:
    assert msgspec.structs.replace(NOTHING, **{name: 1}).stayed(0) == [f"{name} +1"]
    assert msgspec.structs.replace(NOTHING, **{name: -1}).stayed(0) == []


def test_memory_has_stayed_only_above_its_tolerance() -> None:
    grown = msgspec.structs.replace(NOTHING, resident_bytes=3 * 2**20)
    assert grown.stayed(3 * 2**20) == []
    assert grown.stayed(2**20) == ["memory +3.0 MiB, tolerated 1.0 MiB"]


def test_differences_are_taken_field_by_field() -> None:
    before = msgspec.structs.replace(NOTHING, tasks=5, resident_bytes=7)
    after = msgspec.structs.replace(NOTHING, tasks=6, feeds=1, resident_bytes=5)
    assert after - before == msgspec.structs.replace(NOTHING, tasks=1, feeds=1, resident_bytes=-2)


def test_a_half_open_peer_takes_longer_to_be_rid_of_unless_a_person_says_how_long() -> None:
    plan = Plan(symbol=Symbol("AAPL"), modes=[], cycles=1, concurrency=1)
    assert plan.patience(Mode.CLEAN) == plan.patience(Mode.QUIET) == 10
    assert plan.patience(Mode.HALF_OPEN) == 70
    told = Plan(symbol=Symbol("AAPL"), modes=[], cycles=1, concurrency=1, settle=3)
    assert told.patience(Mode.HALF_OPEN) == told.patience(Mode.RUDE) == 3
