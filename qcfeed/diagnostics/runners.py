"""The leak test for test frameworks: checks every loop that ``asyncio.Runner`` runs meanwhile.

pytest-asyncio, anyio's pytest plugin, ``unittest.IsolatedAsyncioTestCase`` and ``asyncio.run`` all
run their loops by ``asyncio.Runner``, so patching that class covers all of them.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from qcfeed.diagnostics import snapshot
from qcfeed.diagnostics.leakcheck import Ignore, LeakError, find_leaks
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.site import AnyTask
from qcfeed.diagnostics.task_info import TaskRecord
from qcfeed.diagnostics.waits import state

_ANYIO_RUNNER = "TestRunner._call_in_runner_task"
"""The function in which anyio spawns the task that runs its tests. It lives as long as the loop."""

_loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
"""The event loops that were created during a watch. asyncio lists tasks only by their loop."""


def _loop_classes() -> list[type]:
    """The base classes of all event loops: asyncio's, and uvloop's if it has been imported."""
    uvloop = sys.modules.get("uvloop")
    return [asyncio.BaseEventLoop, *([] if uvloop is None else [uvloop.Loop])]


class RunnerWatch:
    """Finds tasks that are left behind in event loops between ``start`` and ``stop``.

    A loop is checked when its Runner closes it, before its tasks are cancelled. A loop that stays open
    (because several tests share it) is checked by ``stop``. ``settle`` and ``ignore``: as for
    ``verify_no_leaks``. Cost: a ledger, and one turn of each loop.

    Tasks created around the ledger, because a test or a library replaced the task factory, are found
    too. Loops of other threads and loops created by hand (``asyncio.new_event_loop()``) are not
    checked. Tasks that are pending in a loop created by hand, once it has stopped running, are listed
    in ``unjudged``. Only one watch may be active at a time, in the thread that runs the loops.
    """

    def __init__(self, *, settle: float = 1.0, ignore: Iterable[str] = ()) -> None:
        self.leaks: list[LeakError] = []
        """One error per loop in which tasks were left."""
        self.unjudged: list[str] = []
        """Descriptions of pending tasks in loops that were not checked; available after ``stop``."""
        self._before: weakref.WeakSet[AnyTask] = weakref.WeakSet()
        self._seen: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
        self._settle = settle
        self._ignore = Ignore(ignore)
        self._ledgers: dict[asyncio.AbstractEventLoop, Ledger] = {}
        self._excused: set[int] = set()
        self._excused_untracked: weakref.WeakSet[AnyTask] = weakref.WeakSet()
        self._forgiven = False
        self._thread = threading.get_ident()
        self._get_loop = asyncio.Runner.get_loop
        self._replaced: dict[tuple[type, str], Callable[..., Any]] = {}

    def start(self) -> None:
        """Patch ``asyncio.Runner`` and the loop classes."""
        self._before.update(task for loop in _loops for task in asyncio.all_tasks(loop))
        for loop_class in _loop_classes():
            self._replace_init(loop_class)
        # Both, because Runner.run() creates the loop without calling the public get_loop().
        self._replace("run", self._see)
        self._replace("get_loop", self._see)
        self._replace("close", self._judge_runner)

    def stop(self) -> list[LeakError]:
        """Restore ``asyncio.Runner`` and the task factories; returns the leaks of all loops."""
        while self._replaced:
            (owner, name), original = self._replaced.popitem()
            setattr(owner, name, original)
        for loop in list(self._ledgers):
            self._judge(loop)
        if self._forgiven:
            return []
        if self._elsewhere():
            gc.collect()  # tasks that nothing holds are freed here, and asyncio reports them itself
            self.unjudged = self._elsewhere()
        return self.leaks

    def forgive(self) -> None:
        """Report no leaks, neither those found so far nor later ones."""
        self._forgiven = True

    @contextmanager
    def excusing(self) -> Iterator[None]:
        """Tasks that the block spawns and leaves alive may stay: they belong to a shared fixture."""
        before, untracked = self._live(), self._untracked()
        try:
            yield
        finally:
            self._excused |= self._live() - before
            self._excused_untracked.update(self._untracked() - untracked)

    def _elsewhere(self) -> list[str]:
        """New pending tasks of loops that no Runner ran, and that are not running now."""
        return [
            f"{snapshot.name(task)}: {snapshot.coroutine(task)}, {state(task)}"
            for loop in list(_loops)
            if loop not in self._seen and not loop.is_running()
            for task in asyncio.all_tasks(loop)
            if task not in self._before
        ]

    def _live(self) -> set[int]:
        ledgers = self._ledgers.values()
        return {record.serial for ledger in ledgers for record in ledger.records()}

    def _untracked(self) -> set[AnyTask]:
        return {
            task
            for loop, ledger in self._ledgers.items()
            for task in asyncio.all_tasks(loop)
            if not ledger.is_tracked(task)
        }

    def _replace(self, name: str, first: Callable[[asyncio.Runner], None]) -> None:
        original = self._replaced[asyncio.Runner, name] = getattr(asyncio.Runner, name)

        def replacement(runner: asyncio.Runner, *args: Any, **kwargs: Any) -> Any:
            # Inside a running loop nothing can be checked: the check itself runs the loop.
            if threading.get_ident() == self._thread and asyncio._get_running_loop() is None:  # noqa: SLF001
                first(runner)
            return original(runner, *args, **kwargs)

        setattr(asyncio.Runner, name, replacement)

    def _replace_init(self, loop_class: type) -> None:
        original = self._replaced[loop_class, "__init__"] = loop_class.__init__  # type: ignore[misc]

        def replacement(loop: asyncio.AbstractEventLoop, *args: Any, **kwargs: Any) -> None:
            original(loop, *args, **kwargs)
            _loops.add(loop)

        loop_class.__init__ = replacement  # type: ignore[misc]

    def _see(self, runner: asyncio.Runner) -> None:
        loop = self._get_loop(runner)
        if loop not in self._ledgers:
            self._seen.add(loop)
            ledger = self._ledgers[loop] = Ledger()
            self._excused_untracked.update(asyncio.all_tasks(loop))
            ledger.install(loop)

    def _judge_runner(self, runner: asyncio.Runner) -> None:
        loop = getattr(runner, "_loop", None)  # get_loop() would create one, or raise
        if loop in self._ledgers:
            self._judge(loop)

    def _judge(self, loop: asyncio.AbstractEventLoop) -> None:
        ledger = self._ledgers.pop(loop)
        if not (loop.is_closed() or self._forgiven):
            search = find_leaks(ledger, self._settle, self._may_stay, self._may_stay_untracked)
            if any(leaks := loop.run_until_complete(search)):
                self.leaks.append(LeakError(leaks))
        ledger.uninstall()

    def _may_stay(self, record: TaskRecord) -> bool:
        is_runner = record.site.function == _ANYIO_RUNNER
        return record.serial in self._excused or is_runner or self._ignore(record)

    def _may_stay_untracked(self, task: AnyTask) -> bool:
        return task in self._excused_untracked or self._ignore.allows_name(task)
