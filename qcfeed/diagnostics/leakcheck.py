"""A leak test: every task that a block spawns must have ended when it is left.

::

    async with verify_no_leaks():
        await something()
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Container, Iterable
from fnmatch import fnmatch

from qcfeed.diagnostics import census, chain
from qcfeed.diagnostics.booked import Record
from qcfeed.diagnostics.site import AnyTask, short_path
from qcfeed.diagnostics.spawn import Ledger
from qcfeed.diagnostics.waits import state

_FIRST_WAIT = 0.001
_SHOWN = 20
_FRAMES = 20
"""Frames of a stack that the message shows; of a deeper one, the outermost."""


class LeakError(AssertionError):
    """Tasks outlived the block. ``records`` are theirs; the message shows the oldest of them."""

    def __init__(self, records: list[Record]) -> None:
        self.records = records
        now = time.monotonic()
        shown = [line for record in records[:_SHOWN] for line in _lines(record, now)]
        if len(records) > _SHOWN:
            shown.append(f"  and {len(records) - _SHOWN} more")
        super().__init__("\n".join([f"{len(records)} leaked task(s):", *shown]))


class Ignore:
    """Which tasks may leak, as shell patterns. Calling it with a record says whether that may.

    ``aiohttp/*``: by spawn location. ``name:poll-*``: by the task's name.
    ``label:symbol=A*``: by a label (see labels.py).
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = tuple(patterns)

    def __call__(self, record: Record) -> bool:
        return any(self._matches(record, *pattern.partition(":")) for pattern in self._patterns)

    def _matches(self, record: Record, kind: str, colon: str, pattern: str) -> bool:
        if kind == "name" and colon:
            return fnmatch(census.name(record.task), pattern)
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
    time being. When the block itself raises, that error is left alone. A task made around the
    ledger (see Ledger) is not seen.
    """
    own = None
    if ledger is None:
        ledger = own = Ledger()
        own.install(asyncio.get_running_loop())
    before = {record.serial for record in ledger.records()}
    may_stay = Ignore(ignore)
    try:
        yield ledger
        if found := await leaked(ledger, before, may_stay, settle):
            raise LeakError(found)
    finally:
        if own is not None:
            own.uninstall()


async def leaked(
    ledger: Ledger, before: Container[int], may_stay: Callable[[Record], bool], settle: float
) -> list[Record]:
    """The live tasks, oldest first, that are neither in ``before`` (serials) nor may stay.

    Returns as soon as there are none, else after ``settle`` seconds. In the ledger's loop.
    """
    deadline = time.monotonic() + settle
    wait = _FIRST_WAIT
    await asyncio.sleep(0)
    while found := _new(ledger, before, may_stay):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        await asyncio.sleep(min(wait, left))
        wait *= 2
    return found


def _new(
    ledger: Ledger, before: Container[int], may_stay: Callable[[Record], bool]
) -> list[Record]:
    this = asyncio.current_task()
    return [
        record
        for record in ledger.records()
        if record.serial not in before and record.task is not this and not may_stay(record)
    ]


def _lines(record: Record, now: float) -> list[str]:
    task, site = record.task, record.site
    first = (
        f"  task {record.serial} ({census.name(task)}) from {site.location} ({site.function}),"
        f" {now - record.born:.3f} s old, {state(task)}"
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
