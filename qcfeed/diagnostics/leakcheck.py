"""A leak test: every task that a block spawns must have ended when it is left.

::

    async with verify_no_leaks():
        await something()
"""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import time
from collections.abc import AsyncIterator, Iterable

from qcfeed.diagnostics.spawn import Ledger, Record
from qcfeed.diagnostics.waits import state

_FIRST_WAIT = 0.001
_SHOWN = 20


class LeakError(AssertionError):
    """Tasks outlived the block. ``records`` are theirs; the message shows the oldest of them."""

    def __init__(self, records: list[Record]) -> None:
        self.records = records
        now = time.monotonic()
        shown = [
            f"  task {r.serial} from {r.site.location} ({r.site.function}),"
            f" {now - r.born:.3f} s old, {state(r.task)}"
            for r in records[:_SHOWN]
        ]
        if len(records) > _SHOWN:
            shown.append(f"  and {len(records) - _SHOWN} more")
        super().__init__("\n".join([f"{len(records)} leaked task(s):", *shown]))


@contextlib.asynccontextmanager
async def verify_no_leaks(
    *, ledger: Ledger | None = None, settle: float = 1.0, ignore: Iterable[str] = ()
) -> AsyncIterator[Ledger]:
    """Raises LeakError when a task spawned inside is still alive ``settle`` seconds after the end.

    It looks again and again, at growing intervals, before it judges: tasks that are ending are no
    leak. ``ignore``: spawn locations that may leak, as shell patterns (``"aiohttp/*"``). Without
    ``ledger`` one is installed for the time being. When the block itself raises, that error is left
    alone. A task made around the ledger (see Ledger) is not seen.
    """
    own = None
    if ledger is None:
        ledger = own = Ledger()
        own.install(asyncio.get_running_loop())
    before = {serial for site in ledger.sites() for serial in site.live}
    patterns = tuple(ignore)
    try:
        yield ledger
        if leaked := await _leaked(ledger, before, patterns, settle):
            raise LeakError(leaked)
    finally:
        if own is not None:
            own.uninstall()


async def _leaked(
    ledger: Ledger, before: set[int], ignore: tuple[str, ...], settle: float
) -> list[Record]:
    deadline = time.monotonic() + settle
    wait = _FIRST_WAIT
    await asyncio.sleep(0)
    while leaked := _new(ledger, before, ignore):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        await asyncio.sleep(min(wait, left))
        wait *= 2
    return leaked


def _new(ledger: Ledger, before: set[int], ignore: tuple[str, ...]) -> list[Record]:
    this = asyncio.current_task()
    found = [
        record
        for site in ledger.sites()
        if not any(fnmatch.fnmatch(site.location, pattern) for pattern in ignore)
        for record in site.live.values()
        if record.serial not in before and record.task is not this
    ]
    return sorted(found, key=lambda record: record.serial)
