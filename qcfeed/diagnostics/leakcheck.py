"""A leak test: every task that a block spawns must have ended when it is left.

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
from qcfeed.diagnostics.site import AnyTask, short_path
from qcfeed.diagnostics.task_info import TaskRecord
from qcfeed.diagnostics.waits import state

_FIRST_WAIT = 0.001
_SHOWN = 20
_FRAMES = 20
"""Frames of a stack that the message shows; of a deeper one, the outermost."""


class Leaks(NamedTuple):
    """The tasks that outlived a block: those of the ledger, and those that passed no ledger, because
    they were created around the task factory or it had been replaced."""

    records: list[TaskRecord]
    untracked: list[AnyTask]


class LeakError(AssertionError):
    """Tasks outlived the block. ``records`` are those that the ledger knows, ``untracked`` the number
    of others; the message shows the oldest of them."""

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
    """Which tasks may leak, as shell patterns. Calling it with a record says whether that may.

    ``aiohttp/*``: by spawn location. ``name:poll-*``: by the task's name.
    ``label:symbol=A*``: by a label (see labels.py).
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = tuple(patterns)

    def allows_name(self, task: AnyTask) -> bool:
        """Whether a task that no ledger knows may leak: by its name, which is all there is."""
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
        return fnmatch(record.site.location, f"{kind}{colon}{pattern}")


@contextlib.asynccontextmanager
async def verify_no_leaks(
    *, ledger: Ledger | None = None, settle: float = 1.0, ignore: Iterable[str] = ()
) -> AsyncIterator[Ledger]:
    """Raises LeakError when a task spawned inside is still alive ``settle`` seconds after the end.

    It looks again and again, at growing intervals, before it judges: tasks that are ending are no
    leak. ``ignore``: what may leak, as Ignore takes it. Without ``ledger`` one is installed for the
    time being. When the block itself raises, that error is left alone. A task that was created
    around the ledger is found too, without the line that created it.
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
    """The live tasks of the ledger's loop that may not stay, the ledger's oldest first.

    Returns as soon as there are none, else after ``settle`` seconds. In the ledger's loop.
    """
    deadline = time.monotonic() + settle
    wait = _FIRST_WAIT
    await asyncio.sleep(0)
    while any(found := _new(ledger, may_stay, may_stay_untracked)):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        del found
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
    """``file:line function`` from the task's coroutine down its awaits."""
    try:
        links = [] if task is None else chain.links(task.get_coro())
        frames = [frame for link in links[:_FRAMES] if (frame := chain.frame(link)) is not None]
    except Exception:  # noqa: BLE001 - a coroutine of a strange kind; the rest of the line is told
        return []
    return [
        f"{short_path(frame.f_code.co_filename)}:{frame.f_lineno} {frame.f_code.co_qualname}"
        for frame in frames
    ]
