"""Collections are counted by generation, timed, and counted no more after the stop."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from qcfeed.diagnostics.pauses import GcPauses


@pytest.fixture
def pauses() -> Iterator[GcPauses]:
    gc.disable()
    pauses = GcPauses()
    pauses.start()
    yield pauses
    pauses.stop()
    gc.enable()


def test_generations_are_counted_separately(pauses: GcPauses) -> None:
    gc.collect(0)
    gc.collect(1)
    gc.collect(2)
    gc.collect(2)
    assert pauses.collections == [1, 1, 2]
    assert pauses.count == 4


def test_the_longest_pause_is_part_of_the_total(pauses: GcPauses) -> None:
    crowd = [[n] for n in range(50_000)]
    gc.collect()
    crowd.clear()
    gc.collect(0)
    assert 0 < pauses.longest == max(pauses.seconds) < pauses.total == sum(pauses.seconds)


def test_collections_before_start_or_after_stop_are_not_counted() -> None:
    pauses, before = GcPauses(), list(gc.callbacks)
    pauses.start()
    pauses.start()
    (on_collection,) = [each for each in gc.callbacks if each not in before]
    on_collection("stop", {"generation": 2, "collected": 0, "uncollectable": 0})
    assert pauses.count == 0, "it began before the start"
    gc.collect()
    counted = pauses.count
    pauses.stop()
    pauses.stop()
    gc.collect()
    assert pauses.count == counted
    assert gc.callbacks == before
