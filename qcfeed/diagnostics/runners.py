"""The leak test without a block: every loop that ``asyncio.Runner`` turns meanwhile is looked at.

pytest-asyncio, anyio's pytest plugin, ``unittest.IsolatedAsyncioTestCase`` and ``asyncio.run`` all
turn their loops by a Runner, so this is the one place where a test framework can stand.
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
"""Where anyio spawns the task that its tests run in; it lives as long as the loop."""


_loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
"""The event loops that were made while somebody watched: asyncio tells of tasks by their loop."""


def _loop_classes() -> list[type]:
    """What all event loops here are made from: asyncio's, and uvloop's if it has been imported."""
    uvloop = sys.modules.get("uvloop")
    return [asyncio.BaseEventLoop, *([] if uvloop is None else [uvloop.Loop])]


class RunnerWatch:
    """Between ``start`` and ``stop``, which tasks outlive the use of their loop.

    A loop is judged when its Runner closes it, before its tasks are cancelled, or by ``stop`` when
    it stays open (a loop that several tests share). ``settle`` and ``ignore``: as for
    ``verify_no_leaks``. Cost: a ledger, and one turn of each loop.

    Tasks that were created around the ledger, because a test or a library replaced the task factory,
    are found too. It does not judge loops of other threads or loops made by hand
    (``asyncio.new_event_loop()``); what is left pending in a loop made by hand that does not run any
    more is in ``unjudged``. One at a time; in the thread that turns the loops.
    """

    def __init__(self, *, settle: float = 1.0, ignore: Iterable[str] = ()) -> None:
        self.leaks: list[LeakError] = []
        """One error a loop that tasks were left in."""
        self.unjudged: list[str] = []
        """Pending tasks of loops that it did not see begin, in words; known after ``stop``."""
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
        """Stand in ``asyncio.Runner`` from now on."""
        self._before.update(task for loop in _loops for task in asyncio.all_tasks(loop))
        for loop_class in _loop_classes():
            self._replace_init(loop_class)
        self._replace("run", self._see)
        self._replace("get_loop", self._see)
        self._replace("close", self._judge_runner)

    def stop(self) -> list[LeakError]:
        """Put ``asyncio.Runner`` and the task factories back; the leaks of all loops."""
        while self._replaced:
            (owner, name), original = self._replaced.popitem()
            setattr(owner, name, original)
        for loop in list(self._ledgers):
            self._judge(loop)
        if self._forgiven:
            return []
        if self._elsewhere():
            gc.collect()  # of what nobody holds, asyncio tells itself
            self.unjudged = self._elsewhere()
        return self.leaks

    def forgive(self) -> None:
        """Whatever is left, before and from now on, is no leak."""
        self._forgiven = True

    @contextmanager
    def excusing(self) -> Iterator[None]:
        """What is spawned inside and still lives then may stay: it serves more than one test."""
        before, untracked = self._live(), self._untracked()
        try:
            yield
        finally:
            self._excused |= self._live() - before
            self._excused_untracked.update(self._untracked() - untracked)

    def _elsewhere(self) -> list[str]:
        """New pending tasks of loops that nobody showed to us, and that do not run now."""
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
        loop = getattr(runner, "_loop", None)  # get_loop() would make one, or raise
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
