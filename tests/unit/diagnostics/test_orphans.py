from __future__ import annotations

import asyncio
import re
import threading
import time
from typing import Any

import pytest

from qcfeed.diagnostics import orphans, snapshot
from qcfeed.diagnostics.ledger import Ledger, owned_by
from tests.support.patience import PATIENCE
from tests.unit.diagnostics.conftest import Subscriber


async def sleeper() -> None:
    await asyncio.sleep(3600)


async def ended(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_an_orphan_with_its_evidence(ledger: Ledger, subscriber: Subscriber) -> None:
    with owned_by(subscriber):
        task = asyncio.create_task(sleeper())
    bystander = asyncio.create_task(sleeper())
    await asyncio.sleep(0)
    now = time.monotonic() + 20
    assert orphans.find(ledger, now) == []
    subscriber.closed, subscriber.closed_at = True, now - 12
    (found,) = orphans.find(ledger, now)
    # A busy machine has let some of its sleep pass.
    assert re.fullmatch(
        r"owner subscriber 812 of AAPL closed 12\.0 s ago; task sleeping 3,[56]\d\d s",
        found.evidence,
    )
    assert found.record.task is task
    assert found.owner is subscriber
    assert found.location.startswith("tests/unit/diagnostics/test_orphans.py:")
    assert 20 <= found.age_s < 20 + PATIENCE
    assert ledger.find(found.serial) == found.record
    await ended(task, bystander)
    assert orphans.find(ledger, now) == []


async def test_an_orphan_is_short_when_it_is_printed(
    ledger: Ledger, subscriber: Subscriber
) -> None:
    with owned_by(subscriber):
        task = asyncio.create_task(sleeper())
    subscriber.closed = True
    (orphan,) = orphans.find(ledger, time.monotonic())
    assert re.fullmatch(r"OrphanTask\(serial=\d+, age_s=[\d.e-]+, gone_s=\S+\)", repr(orphan))
    task.cancel()
    await ended(task)


async def test_grace_spares_those_that_are_only_just_alone(
    ledger: Ledger, subscriber: Subscriber
) -> None:
    with owned_by(subscriber):
        task = asyncio.create_task(sleeper())
    subscriber.closed, subscriber.closed_at = True, 100.0
    assert orphans.find(ledger, 104.9, grace=5) == []
    assert len(orphans.find(ledger, 105.0, grace=5)) == 1
    await ended(task)


async def test_an_owner_may_be_a_callable_and_needs_not_say_when(ledger: Ledger) -> None:
    gone = threading.Event()
    with owned_by(gone.is_set):
        task = asyncio.create_task(sleeper())
    assert orphans.find(ledger, 0.0) == []
    gone.set()
    (found,) = orphans.find(ledger, 0.0, grace=60)
    assert found.gone_s is None
    assert "is gone; task ready" in found.evidence
    await ended(task)


class Odd:
    """Owners that are not what they should be."""

    def __init__(self, closed: Any) -> None:
        self._closed = closed

    @property
    def closed(self) -> Any:
        if isinstance(self._closed, Exception):
            raise self._closed
        return self._closed

    def __str__(self) -> str:
        raise ValueError("nameless")


@pytest.mark.parametrize("closed", [ValueError("no"), "yes", 1, None])
async def test_an_owner_that_does_not_return_true_is_present(ledger: Ledger, closed: Any) -> None:
    with owned_by(Odd(closed)):
        task = asyncio.create_task(sleeper())
    assert orphans.find(ledger, 0.0) == []
    await ended(task)


async def test_an_owner_without_a_description_still_makes_evidence(ledger: Ledger) -> None:
    with owned_by(Odd(True)):
        task = asyncio.create_task(sleeper())
    assert orphans.find(ledger, 0.0)[0].evidence.startswith("owner (a Odd) is gone")
    await ended(task)


async def test_oldest_first_over_all_locations(ledger: Ledger, subscriber: Subscriber) -> None:
    with owned_by(subscriber):
        spawn = [
            lambda: asyncio.create_task(sleeper()),
            lambda: asyncio.create_task(sleeper()),
        ]
        tasks = [spawn[n % 2]() for n in range(4)]
    subscriber.closed = True
    found = orphans.find(ledger, 0.0)
    assert [orphan.record.task for orphan in found] == tasks
    await ended(*tasks)


async def test_an_owner_is_checked_once_for_all_tasks_of_one_context(
    ledger: Ledger,
) -> None:
    asked = 0

    def gone() -> bool:
        nonlocal asked
        asked += 1
        return True

    with owned_by(gone):
        tasks = [asyncio.create_task(sleeper()) for _ in range(50)]
    assert len(ledger.records()) > 50  # this test's own task is there as well
    assert len(orphans.refs(ledger, 0.0)) == 50
    assert snapshot.by_location(ledger, 0.0).totals.orphaned == 50
    assert asked < 20  # once per slice of each scan; a busy machine makes smaller slices
    await ended(*tasks)


async def test_an_ended_task_that_is_held_is_not_an_orphan(
    ledger: Ledger, subscriber: Subscriber
) -> None:
    subscriber.closed = True
    with owned_by(subscriber):
        task = asyncio.create_task(asyncio.sleep(0))
    await task
    assert orphans.find(ledger, 0.0) == []
