"""A leak test: fails if a block of code leaves asyncio tasks behind.

::

    async with verify_no_leaks():
        await something()
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterable
from fnmatch import fnmatch
from typing import NamedTuple

from qcfeed.diagnostics import chain, snapshot
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.locations import places
from qcfeed.diagnostics.site import AnyTask, short_path
from qcfeed.diagnostics.task_info import TaskRecord
from qcfeed.diagnostics.waits import state

_FIRST_WAIT = 0.001
"""Seconds until the first check after the block; each further wait is twice as long."""
_SHOWN = 20
"""Tasks in the message."""
_FRAMES = 20
"""Frames per stack in the message: the outermost ones."""


class Leaks(NamedTuple):
    """The tasks that outlived a block: ``records`` of those that the ledger recorded, and ``untracked``
    tasks that were created around its task factory, or after that had been replaced."""

    records: list[TaskRecord]
    untracked: list[AnyTask]


class LeakError(AssertionError):
    """Tasks outlived a block.

    ``records``: the tasks that the ledger recorded, oldest first. ``untracked``: the number of others.
    The message shows the first 20 of them with spawn location, age, stack and what they wait on.
    """

    def __init__(self, leaks: Leaks) -> None:
        self.records = leaks.records
        self.untracked = len(leaks.untracked)
        now = time.monotonic()
        found = [_lines(record, now) for record in leaks.records[:_SHOWN]]
        found += map(_untracked_lines, leaks.untracked[: _SHOWN - len(found)])
        shown = [line for lines in found for line in lines]
        total = len(leaks.records) + self.untracked
        if total > len(found):
            shown.append(f"  and {total - len(found)} more")
        super().__init__("\n".join([f"{total} leaked task(s):", *shown]))


class Ignore:
    """Shell patterns of tasks that may be left behind. Called with a record, it returns whether one matches.

    ``aiohttp/*``: by spawn location. ``name:poll-*``: by the task's name.
    ``label:symbol=A*``: by a label (see labels.py).
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = tuple(patterns)

    def allows_name(self, task: AnyTask) -> bool:
        """Whether an untracked task may be left behind. It has only a name to go by."""
        return any(
            fnmatch(snapshot.name(task), pattern.removeprefix("name:"))
            for pattern in self._patterns
            if pattern.startswith("name:")
        )

    def __call__(self, record: TaskRecord) -> bool:
        return any(self._matches(record, *pattern.partition(":")) for pattern in self._patterns)

    def _matches(self, record: TaskRecord, kind: str, colon: str, pattern: str) -> bool:
        if kind == "name" and colon:
            return fnmatch(snapshot.name(record.task), pattern)
        if kind == "label" and colon:
            return any(fnmatch(f"{key}={value}", pattern) for key, value in record.labels.items())
        location = record.site.location
        return any(
            fnmatch(place, f"{kind}{colon}{pattern}") for place in (location, *places(location))
        )


@contextlib.asynccontextmanager
async def verify_no_leaks(
    *, ledger: Ledger | None = None, settle: float = 1.0, ignore: Iterable[str] = ()
) -> AsyncIterator[Ledger]:
    """Check that every task which the block spawns has ended when the block is left::

        async with verify_no_leaks(ignore=["name:poll-*"]):
            await handle(request)

    ``settle``: seconds that tasks get to end after the block. The check is repeated at growing intervals,
    so a block without leaks is not delayed. ``ignore``: patterns of tasks that may stay: a spawn location
    (``aiohttp/*``), ``name:PATTERN`` or ``label:KEY=PATTERN``. ``ledger``: one that is installed in the
    running loop; by default a ledger is installed for the block. The block gets it (``as ledger``).

    Raises LeakError if a task is still alive after ``settle``. An exception of the block itself is
    passed on, without a check. Tasks created around the ledger are found too, without the line that
    created them. Cost: that of a ledger (see ``Ledger``), and 1 us per live task and check.
    """
    own = None
    if ledger is None:
        ledger = own = Ledger()
        own.install(asyncio.get_running_loop())
    before = {record.serial for record in ledger.records()}
    untracked_before = weakref.WeakSet(asyncio.all_tasks())
    may_stay = Ignore(ignore)
    try:
        yield ledger
        leaks = await find_leaks(
            ledger,
            settle,
            lambda record: record.serial in before or may_stay(record),
            lambda task: task in untracked_before or may_stay.allows_name(task),
        )
        if any(leaks):
            raise LeakError(leaks)
    finally:
        if own is not None:
            own.uninstall()


async def find_leaks(
    ledger: Ledger,
    settle: float,
    may_stay: Callable[[TaskRecord], bool],
    may_stay_untracked: Callable[[AnyTask], bool],
) -> Leaks:
    """The live tasks of the ledger's loop that may not stay, oldest first. Runs in that loop.

    Returns as soon as there are none, else after ``settle`` seconds.
    """
    deadline = time.monotonic() + settle
    wait = _FIRST_WAIT
    await asyncio.sleep(0)  # tasks that were cancelled at the end of the block end in this turn
    while any(found := _new(ledger, may_stay, may_stay_untracked)):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        del found  # a task that it holds could not be freed while this sleeps
        await asyncio.sleep(min(wait, left))
        wait *= 2
    return found


def _new(
    ledger: Ledger,
    may_stay: Callable[[TaskRecord], bool],
    may_stay_untracked: Callable[[AnyTask], bool],
) -> Leaks:
    this = asyncio.current_task()
    return Leaks(
        [record for record in ledger.records() if record.task is not this and not may_stay(record)],
        [
            task
            for task in asyncio.all_tasks()
            if task is not this and not ledger.is_tracked(task) and not may_stay_untracked(task)
        ],
    )


def _untracked_lines(task: AnyTask) -> list[str]:
    first = (
        f"  untracked task ({snapshot.name(task)}) of {snapshot.coroutine(task)}, {state(task)};"
        " created around the ledger, so its line is not known"
    )
    return [first, *(f"      {line}" for line in _stack(task))]


def _lines(record: TaskRecord, now: float) -> list[str]:
    task, site = record.task, record.site
    first = (
        f"  task {record.serial} ({snapshot.name(task)}) from {site.location} ({site.function}),"
        f" {now - record.created_at:.3f} s old, {state(task)}"
    )
    return [first, *(f"      {line}" for line in _stack(task))]


def _stack(task: AnyTask | None) -> list[str]:
    """``file:line function`` of each frame, from the task's coroutine inwards."""
    try:
        links = [] if task is None else chain.links(task.get_coro())
        frames = [frame for link in links[:_FRAMES] if (frame := chain.frame(link)) is not None]
    except Exception:  # noqa: BLE001 - an unusual coroutine class; the message goes without its stack
        return []
    return [
        f"{short_path(frame.f_code.co_filename)}:{frame.f_lineno} {frame.f_code.co_qualname}"
        for frame in frames
    ]
