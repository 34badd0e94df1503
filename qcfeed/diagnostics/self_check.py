"""Whether a ledger sees what it claims to see: it checks itself instead of trusting versions.

A new Python, another task factory or a patched asyncio can make a ledger blind without an error.
Two things are held against each other all the time:

- a *probe*: a task that is created as any program creates one must be recorded, be found among the
  live tasks, have its parent, and be counted once when it has ended;
- the *counters* against a pass over the live tasks: for each spawn location, those that the
  counters call live must be found, but for the ones that began meanwhile.

What does not hold is told in sentences by ``Ledger.incomplete``.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qcfeed.diagnostics.site import AnyTask, Site
from qcfeed.diagnostics.task_info import info_of, record_end

if TYPE_CHECKING:
    from qcfeed.diagnostics.ledger import Ledger

PROBE_TIMEOUT_S = 30.0
"""Seconds that a probe may take while the loop turns; it needs a few turns."""
REFRESH_TIMEOUT_S = 1.0
"""Seconds that somebody who asks waits for a probe; a loop that turns needs milliseconds, and one
that does not for so long is told to be stuck."""


class SelfCheck:
    """One ledger's check of itself. Its probes are in no answer, unless a task factory that was put
    around the ledger hides who created them."""

    def __init__(self, ledger: Ledger) -> None:
        self.site = Site(ledger, None, 0, hidden=True)
        """Where probes are counted."""
        self._ledger = ledger
        self._probed = ""
        self._is_blind = False
        self._unseen = 0
        self._untracked = 0
        self._live = 0
        self._task: asyncio.Task[None] | None = None
        self._began = 0.0
        self._is_late = False
        """Whether somebody has waited for a probe in vain, and none has ended since."""

    def problems(self) -> list[str]:
        """What was found wrong at the last probe and at the last count. From any thread."""
        found = []
        if self._probed:
            found.append(
                self._blind(self._untracked, self._probed) if self._is_blind else self._probed
            )
        if self._unseen:
            why = "they are counted, but not found among the live tasks"
            found.append(self._blind(self._unseen, why))
        return found

    def _blind(self, unseen: int, why: str) -> str:
        of = self._live + self._untracked
        return f"cannot see {f'{unseen:,} of {of:,}' if unseen else 'new'} tasks: {why}"

    def refresh(self, within: float = REFRESH_TIMEOUT_S) -> None:
        """Have the ledger checked now, so that ``problems`` knows of a fault that is a moment old.

        From any thread; it waits at most ``within`` seconds for the loop, and not at all in the
        loop's own thread, or for a loop that did not turn the last time. Cost: a probe.
        """
        loop = self._ledger.loop
        if loop is None or self._is_late or not self._ledger.installed:
            return
        if asyncio._get_running_loop() is loop:  # noqa: SLF001 - None where no loop runs
            return
        checked = threading.Event()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._start_for, checked)
            checked.wait(within)
            self._is_late = not checked.is_set()

    def _start_for(self, checked: threading.Event) -> None:
        """Do one probe from its beginning, after the one that is under way, and say when it is done."""
        if self._task is not None and not self._task.done():
            self._task.add_done_callback(lambda _: self._start_for(checked))
            return
        self.start()
        if self._task is None or self._task.done():  # it could not begin
            checked.set()
        else:
            self._task.add_done_callback(lambda _: checked.set())

    def start(self) -> None:
        """Begin a probe in the ledger's loop, in whose thread this is called; one at a time."""
        if not self._ledger.installed:
            return
        if self._task is None or self._task.done():
            self._begin(asyncio.get_running_loop())
        elif (took := time.monotonic() - self._began) > PROBE_TIMEOUT_S:
            self._note(f"the ledger's check of itself has not ended for {took:.0f} s")

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._began = time.monotonic()
        probe = self.probe()
        try:
            self._task = loop.create_task(probe, name="qcfeed probe")
        except Exception as error:  # noqa: BLE001 - whatever a task factory may raise
            probe.close()
            self._note(_failed(error))

    def stop(self) -> None:
        """Cancel a probe that is under way. In the loop's thread, or when the loop has stopped."""
        if self._task is not None and not self._task.get_loop().is_closed():
            self._task.cancel()
        self._task = None

    async def probe(self) -> None:
        """Create a task as any program would and compare what the ledger says of it.

        Raises nothing of its own. Cost: two tasks and four turns of the loop.
        """
        await asyncio.sleep(0)  # an eager task is recorded when it first waits
        before = self.site.ended
        try:
            blind, problem, gone = await self._live_probe()
        except Exception as error:  # noqa: BLE001 - a check that fails must not pass for a success
            self._note(_failed(error))
            return
        await asyncio.sleep(0)  # what was called back at its end lets go of it
        if not problem and gone is not None:
            problem = self._miscounted(gone, before)
        self._note(blind or problem, is_blind=bool(blind))

    def _note(self, problem: str, *, is_blind: bool = False) -> None:
        """The result of a probe; an empty ``problem`` if all is well."""
        self._probed, self._is_blind = problem, is_blind
        self._is_late = False

    async def _live_probe(self) -> tuple[str, str, weakref.ref[AnyTask] | None]:
        """A probe from its creation to its end, which nobody here holds any more then: why it could
        not be seen, what else is wrong, and the probe, if its end is counted where probes are."""
        coroutine = _probe()
        try:
            probe = asyncio.create_task(coroutine)
        except BaseException:
            coroutine.close()
            raise
        try:
            blind = self._unseen_probe(probe)
            problem = self._wrong_parent(probe)
            known = info_of(probe, self._ledger)
            is_ours = known is not None and known.site is self.site
            del known
            await asyncio.wait({probe})
        finally:
            probe.cancel()
        return blind, problem, weakref.ref(probe) if is_ours else None

    def count(self, live: Mapping[Site, int], found: Mapping[Site, int], untracked: int) -> None:
        """Compare, by spawn location, the tasks that the counters call live with those that a pass
        over the live tasks found. ``untracked``: live tasks that passed no ledger."""
        self._unseen = sum(max(0, number - found.get(site, 0)) for site, number in live.items())
        self._live, self._untracked = sum(live.values()), untracked

    def _unseen_probe(self, probe: AnyTask) -> str:
        """Why a probe that is alive cannot be seen; empty if it can."""
        if info_of(probe, self._ledger) is None:
            return (
                "the ledger did not record one that it created to check itself; the loop's task"
                f" factory is {_factory(probe.get_loop())}"
            )
        if not self._ledger.holds(probe):
            return "one that is recorded was not found among the live tasks"
        return ""

    def _wrong_parent(self, probe: AnyTask) -> str:
        known = info_of(probe, self._ledger)
        spawner = info_of(asyncio.current_task(), self._ledger)
        if known is not None and spawner is not None and known.parent != spawner.serial:
            return f"parents are wrong: a probe of task {spawner.serial} has parent {known.parent}"
        return ""

    def _miscounted(self, gone: weakref.ref[AnyTask], before: int) -> str:
        """What is wrong with the count of a probe that has ended; empty if nothing is."""
        self._book(gone())
        counted = self.site.ended - before
        return (
            ""
            if counted == 1
            else f"the ends of tasks are miscounted: a probe that ended was counted {counted} times"
        )

    def _book(self, held: AnyTask | None) -> None:
        """Count one that somebody else still holds, as a pass over the live tasks would."""
        if held is not None and (known := info_of(held, self._ledger)) is not None:
            record_end(known, held)


async def _probe() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def _failed(error: Exception) -> str:
    return f"the ledger could not check itself: {type(error).__name__}: {error}"


def _factory(loop: asyncio.AbstractEventLoop) -> str:
    factory: Any = loop.get_task_factory()
    if factory is None:
        return "asyncio's own"
    name = getattr(factory, "__qualname__", type(factory).__qualname__)
    return f"{getattr(factory, '__module__', '?')}.{name}"
