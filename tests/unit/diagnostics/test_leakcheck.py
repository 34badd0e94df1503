from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from qcfeed.diagnostics.labels import label
from qcfeed.diagnostics.leakcheck import Ignore, LeakError, verify_no_leaks
from qcfeed.diagnostics.ledger import Ledger
from tests.support.patience import PATIENCE


async def forever() -> None:
    await asyncio.Event().wait()


async def end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def test_a_leaked_task_is_named_with_place_age_and_wait() -> None:
    leaked: list[asyncio.Task[None]] = []
    with pytest.raises(LeakError) as caught:
        async with verify_no_leaks(settle=0.01):
            leaked.append(asyncio.create_task(forever()))
    message = str(caught.value)
    assert message.startswith("1 leaked task(s):\n  task ")
    assert "from tests/unit/diagnostics/test_leakcheck.py:" in message
    assert " s old, " in message
    assert "Event.wait" in message
    assert re.search(r"^      tests/unit/diagnostics/test_leakcheck.py:\d+ forever$", message, re.M)
    assert [record.task for record in caught.value.records] == leaked
    await end(leaked[0])


async def test_a_long_list_is_cut() -> None:
    leaked: list[asyncio.Task[None]] = []
    with pytest.raises(LeakError, match="25 leaked") as caught:
        async with verify_no_leaks(settle=0):
            leaked += [asyncio.create_task(forever()) for _ in range(25)]
    assert str(caught.value).endswith("and 5 more")
    for task in leaked:
        await end(task)


async def test_a_task_that_is_ending_is_not_a_leak() -> None:
    held = []
    async with verify_no_leaks(settle=PATIENCE):
        held.append(asyncio.create_task(asyncio.sleep(0.05)))
    assert held[0].done()


@pytest.mark.parametrize("known", [False, True])
async def test_tasks_from_before_are_not_blamed_on_the_block(ledger: Ledger, known: bool) -> None:
    before = asyncio.create_task(forever())
    async with verify_no_leaks(ledger=ledger if known else None, settle=0):
        pass
    await end(before)


async def test_locations_can_be_ignored() -> None:
    leaked: list[asyncio.Task[None]] = []
    async with verify_no_leaks(settle=0, ignore=["tests/unit/*/test_leakcheck.py:*"]):
        leaked.append(asyncio.create_task(forever()))
    with pytest.raises(LeakError):
        async with verify_no_leaks(settle=0, ignore=["elsewhere/*"]):
            leaked.append(asyncio.create_task(forever()))
    for task in leaked:
        await end(task)


@pytest.mark.parametrize(
    ("pattern", "may_stay"),
    [
        ("name:poll-*", True),
        ("name:feed-*", False),
        ("label:kind=back*", True),
        ("label:kind=front*", False),
        ("label:*=background", True),
    ],
)
async def test_names_and_labels_can_be_ignored(pattern: str, *, may_stay: bool) -> None:
    with label(kind="background"):
        async with verify_no_leaks(ignore=["*"]) as ledger:
            task = asyncio.create_task(forever(), name="poll-7")
            [record] = ledger.records()
    assert Ignore([pattern])(record) is may_stay
    await end(task)


async def test_a_name_that_raises_does_not_break_the_error(ledger: Ledger) -> None:
    class Unnameable:
        def __str__(self) -> str:
            raise LookupError("no name")

    with pytest.raises(LeakError, match=r"task \d+ \(.*\) from"):  # noqa: PT012
        async with verify_no_leaks(ledger=ledger, settle=0):
            task = asyncio.create_task(forever())
            with pytest.raises(LookupError):
                task.set_name(Unnameable())
    await end(task)


async def test_a_given_ledger_is_used(ledger: Ledger) -> None:
    loop = asyncio.get_running_loop()
    factory = loop.get_task_factory()
    leaked: list[asyncio.Task[None]] = []
    with pytest.raises(LeakError):  # noqa: PT012
        async with verify_no_leaks(ledger=ledger, settle=0) as used:
            assert used is ledger
            assert loop.get_task_factory() is factory
            leaked.append(asyncio.create_task(forever()))
    assert ledger.installed
    await end(leaked[0])


async def test_an_error_in_the_block_is_not_hidden() -> None:
    factory = asyncio.get_running_loop().get_task_factory()
    leaked: list[asyncio.Task[None]] = []
    with pytest.raises(KeyError):  # noqa: PT012
        async with verify_no_leaks(settle=0):
            leaked.append(asyncio.create_task(forever()))
            raise KeyError
    assert asyncio.get_running_loop().get_task_factory() is factory
    await end(leaked[0])
