"""The ledger's check of itself: does it see every task?

A new Python, another task factory or a patched asyncio can blind a ledger without an error. So the
ledger does not trust versions, and checks two things all the time:

- a *probe*, a task that is created as any program creates one, must be recorded, be found among the
  live tasks, have the right parent, and be counted once when it has ended;
- the *counters* must agree with a scan of the live tasks: for each spawn location, the scan must find
  as many tasks as the counters call live, except those created during the scan.

``Ledger.incomplete`` reports failed checks, one sentence each.
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
"""Seconds that a probe may take while the loop runs; it needs a few turns of the loop."""
REFRESH_TIMEOUT_S = 1.0
"""Seconds that ``refresh`` waits for a probe. A running loop needs milliseconds, and a loop that is
blocked for this long is reported as stuck anyway."""


class SelfCheck:
    """One ledger's check of itself.

    No answer shows the probes, unless a task factory that wraps the ledger's hides what created them.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.site = Site(ledger, None, 0, hidden=True)
        """The hidden site that counts the probes."""
        self._ledger = ledger
        self._probed = ""
        self._is_blind = False
        self._unseen = 0
        self._untracked = 0
        self._live = 0
        self._task: asyncio.Task[None] | None = None
        self._began = 0.0
        self.is_late = False
        """Whether the last ``refresh`` timed out, and no probe has ended since."""

    def problems(self) -> list[str]:
        """Faults found by the last probe and by the last count, one sentence each. From any thread."""
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
        """Run a probe now, so that ``problems`` includes a fault that has just appeared.

        From any thread. It waits for the loop for at most ``within`` seconds. It does not wait in the
        loop's own thread, nor for a loop that did not answer the last time. Cost: one probe.
        """
        loop = self._ledger.loop
        if loop is None or self.is_late or not self._ledger.installed:
            return
        if asyncio._get_running_loop() is loop:  # noqa: SLF001 - None where no loop runs
            return
        checked = threading.Event()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._start_for, checked)
            checked.wait(within)
            self.is_late = not checked.is_set()

    def _start_for(self, checked: threading.Event) -> None:
        """Run one whole probe, after one that is under way, and set ``checked`` when it has ended."""
        if self._task is not None and not self._task.done():
            self._task.add_done_callback(lambda _: self._start_for(checked))
            return
        self.start()
        if self._task is None or self._task.done():  # it could not be started
            checked.set()
        else:
            self._task.add_done_callback(lambda _: checked.set())

    def start(self) -> None:
        """Start a probe, unless one is under way. Call it in the loop's thread."""
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
            _may_be_destroyed(self._task)
        except Exception as error:  # noqa: BLE001 - whatever a task factory may raise
            probe.close()
            self._note(_failed(error))

    def stop(self) -> None:
        """Cancel a probe that is under way. Call it in the loop's thread, or after the loop stopped."""
        if self._task is not None:
            _end(self._task)
        self._task = None

    async def probe(self) -> None:
        """Create a task as any program would, and compare it with what the ledger recorded.

        Raises nothing of its own. Cost: two tasks and four turns of the loop.
        """
        await asyncio.sleep(0)  # this task itself, if eager, is recorded only when it first waits
        before = self.site.ended
        try:
            blind, problem, gone = await self._live_probe()
        except Exception as error:  # noqa: BLE001 - a check that raises must not count as passed
            self._note(_failed(error))
            return
        await asyncio.sleep(0)  # the probe's done callbacks run, and release it
        if not problem and gone is not None:
            problem = self._miscounted(gone, before)
        self._note(blind or problem, is_blind=bool(blind))

    def _note(self, problem: str, *, is_blind: bool = False) -> None:
        """Keep the result of a probe; ``problem`` is empty if all is well."""
        self._probed, self._is_blind = problem, is_blind
        self.is_late = False

    async def _live_probe(self) -> tuple[str, str, weakref.ref[AnyTask] | None]:
        """Create a probe and wait for its end, without holding it afterwards.

        Returns why it could not be seen, what else is wrong, and a reference to the probe if it is
        counted at the probes' own site.
        """
        coroutine = _probe()
        try:
            probe = asyncio.create_task(coroutine)
        except BaseException:
            coroutine.close()
            raise
        _may_be_destroyed(probe)
        try:
            blind = self._unseen_probe(probe)
            problem = self._wrong_parent(probe)
            info = info_of(probe, self._ledger)
            is_ours = info is not None and info.site is self.site
            del info
            await asyncio.wait({probe})
        finally:
            _end(probe)
        return blind, problem, weakref.ref(probe) if is_ours else None

    def count(self, live: Mapping[Site, int], found: Mapping[Site, int], untracked: int) -> None:
        """Compare, for each spawn location, the live tasks by its counters with those that a scan found.

        ``untracked``: live tasks that no ledger recorded.
        """
        self._unseen = sum(max(0, number - found.get(site, 0)) for site, number in live.items())
        self._live, self._untracked = sum(live.values()), untracked

    def _unseen_probe(self, probe: AnyTask) -> str:
        """Why a live probe cannot be seen; empty if it can."""
        if info_of(probe, self._ledger) is None:
            return (
                "the ledger did not record one that it created to check itself; the loop's task"
                f" factory is {_factory(probe.get_loop())}"
            )
        if not self._ledger.holds(probe):
            return "one that is recorded was not found among the live tasks"
        return ""

    def _wrong_parent(self, probe: AnyTask) -> str:
        info = info_of(probe, self._ledger)
        spawner = info_of(asyncio.current_task(), self._ledger)
        if info is not None and spawner is not None and info.parent != spawner.serial:
            return f"parents are wrong: a probe of task {spawner.serial} has parent {info.parent}"
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
        """Record the end of a probe that is still held elsewhere, as a scan would."""
        if held is not None and (info := info_of(held, self._ledger)) is not None:
            record_end(info, held)


async def _probe() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def _may_be_destroyed(probe: AnyTask) -> None:
    """Have asyncio report nothing if the program closes its loop while the probe is pending."""
    with contextlib.suppress(AttributeError):  # a task of the program's own class
        probe._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001


def _end(probe: AnyTask) -> None:
    """Cancel a probe. If its loop is closed, close its coroutine instead: Python would report that the
    coroutine was never awaited."""
    if not probe.get_loop().is_closed():
        probe.cancel()
    elif not probe.done() and (coroutine := probe.get_coro()) is not None:
        coroutine.close()


def _failed(error: Exception) -> str:
    return f"the ledger could not check itself: {type(error).__name__}: {error}"


def _factory(loop: asyncio.AbstractEventLoop) -> str:
    factory: Any = loop.get_task_factory()
    if factory is None:
        return "asyncio's own"
    name = getattr(factory, "__qualname__", type(factory).__qualname__)
    return f"{getattr(factory, '__module__', '?')}.{name}"
