"""The ledger: what was spawned, where, and what became of it.

A task factory notes every task under its *spawn location*: the code object and bytecode offset of
the first caller outside asyncio. Lines and paths are looked up only when somebody reads them.

The observer leaves the observed alone: a task is known by weak reference only, so the garbage
collector, names, coroutines, cancellation and asyncio's own reports of lost exceptions work as
they do without it. A ledger that raises removes itself, says so once, and the program goes on.

Everything here may be read from any thread; the loop's thread alone writes.
"""

from __future__ import annotations

import asyncio
import asyncio.events
import contextlib
import itertools
import logging
import os
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextvars import Context, ContextVar
from types import CodeType, FrameType
from typing import Any, Protocol

log = logging.getLogger("qcfeed.diagnostics")

MAX_SITES = 4_096
"""Spawn locations told apart; tasks from any further one are booked under ``other``."""

AnyTask = asyncio.Task[Any]
_Key = tuple[int, int]


class Closable(Protocol):
    """An owner: something that can be over. ``str(owner)`` describes it in evidence.

    It may also have ``closed_at``, in seconds of ``time.monotonic()``.
    """

    @property
    def closed(self) -> bool: ...


Owner = Closable | Callable[[], bool]
"""Anything with ``closed``, or a callable that returns True once it is gone."""

_owner: ContextVar[Owner | None] = ContextVar("qcfeed_task_owner", default=None)
_serials = itertools.count(1)


@contextlib.contextmanager
def owned_by(owner: Owner | None) -> Iterator[None]:
    """Tasks spawned inside belong to ``owner``, and so do those that they spawn; None clears it.

    A trap: callbacks (``call_soon``, ``add_done_callback``) inherit the context they were made in.
    A long-lived component that spawns on behalf of others when one of them calls must say
    ``owned_by`` itself, or what it spawns is booked to whoever happened to wake it.
    """
    token = _owner.set(owner)
    try:
        yield
    finally:
        _owner.reset(token)


class Record(weakref.ref[AnyTask]):
    """One live task: ``serial``, ``born`` (``time.monotonic()``), ``owner``, ``site``.

    A million may be kept, so one object is the weak reference, the facts and the done callback.
    It dies with its task, and lets go of the owner then.
    """

    __slots__ = ("born", "owner", "serial", "site")

    serial: int
    born: float
    owner: Owner | None
    site: Site

    @property
    def task(self) -> AnyTask | None:
        """The task, or None once it is gone. Hold it briefly: while held it cannot be collected."""
        return weakref.ref.__call__(self)

    def __call__(self, task: AnyTask) -> None:  # type: ignore[override]
        """The done callback. The removal comes last: until then the books show a live task."""
        site = self.site
        if task.cancelled():
            site.cancelled += 1
        # Not task.exception(): that would hide "Task exception was never retrieved".
        elif getattr(task, "_exception", None) is not None:
            site.failed += 1
        else:
            site.finished += 1
        del site.live[self.serial]

    def __repr__(self) -> str:
        return f"<Record {self.serial} from {self.site.location}>"


class Site:
    """One spawn location and the books of its tasks.

    The number spawned is not a counter of its own but the sum of the others, so the balance holds
    in whatever moment another thread looks: spawned = finished + cancelled + failed + destroyed +
    len(live). Each booking moves a task in one step (no thread switch between its two writes).
    """

    __slots__ = (
        "_code", "_lasti", "_location", "cancelled", "destroyed", "failed", "finished", "live",
        "on_lost",
    )  # fmt: skip

    def __init__(self, code: CodeType | None, lasti: int) -> None:
        self._code = code  # held, so that its id() stays ours
        self._lasti = lasti
        self._location: str | None = None
        self.finished = 0
        self.cancelled = 0
        self.failed = 0
        self.destroyed = 0
        self.live: dict[int, Record] = {}
        """Live tasks by serial number, oldest first."""
        self.on_lost = self._lost

    @property
    def spawned(self) -> int:
        return self.finished + self.cancelled + self.failed + self.destroyed + len(self.live)

    @property
    def function(self) -> str:
        """Qualified name of the function that spawns here."""
        return self._code.co_qualname if self._code else ""

    @property
    def location(self) -> str:
        """``path:line``; the path is relative to where it was imported from. Looked up once."""
        if self._location is None:
            self._location = self._locate()
        return self._location

    def _locate(self) -> str:
        if self._code is None:
            return "other"
        return f"{short_path(self._code.co_filename)}:{line_at(self._code, self._lasti)}"

    def _lost(self, record: weakref.ref[AnyTask]) -> None:
        """The task is gone. If nobody saw it end, it was destroyed while pending."""
        assert isinstance(record, Record)  # noqa: S101
        if record.serial in self.live:
            self.destroyed += 1
            del self.live[record.serial]


def line_at(code: CodeType, lasti: int) -> int:
    """The line of a bytecode offset; the function's first line when the code has no table."""
    for start, end, line in code.co_lines():
        if start <= lasti < end and line is not None:
            return line
    return code.co_firstlineno


def short_path(path: str) -> str:
    """``path`` relative to the longest entry of ``sys.path`` (or the directory) that leads to it."""
    roots = (os.path.join(root or os.getcwd(), "") for root in (*sys.path, ""))  # noqa: PTH109,PTH118
    longest = max((root for root in roots if path.startswith(root)), key=len, default="")
    return path[len(longest) :]


_LIBRARY = tuple(
    os.path.join(os.path.dirname(path), "")  # noqa: PTH118,PTH120
    for path in (asyncio.__file__, __file__)
)
_HANDLE_RUN = asyncio.events.Handle._run.__code__  # noqa: SLF001
_CREATE_TASK = asyncio.create_task.__code__


def _is_library(code: CodeType) -> bool:
    return code.co_filename.startswith(_LIBRARY) or code.co_filename == contextlib.__file__


class Ledger:
    """The books of one event loop's tasks; see the module.

    Cost: 1.7 x a trivial task's create and finish, 300 B a live task (benchmarks/diagnostics.py).
    It cannot see tasks made before it, nor ``asyncio.Task(...)`` called directly (as
    ``eager_start=True`` is by some libraries): a census counts those as *untracked*.
    """

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.failure: str | None = None
        """Why the ledger removed itself, if it did; nothing new is booked from then on."""
        self.other = Site(None, 0)
        self._sites: dict[_Key, Site] = {}
        self._previous: Any = None
        self._factory: Any = None
        self._depth = 3  # frames from _book to the caller of loop.create_task
        # Done callbacks share one context: a copy each would cost memory, and none reads it.
        self._context = Context()

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Book every task that ``loop`` makes from now on. Call it in the loop's thread.

        A task factory that is there already keeps making the tasks.
        Raises RuntimeError when this ledger is installed already.
        """
        if self._factory is not None:
            raise RuntimeError("this ledger is installed already; one ledger serves one loop")
        self.loop = loop
        self.failure = None
        # uvloop's create_task is compiled and has no frame.
        plain = getattr(type(loop), "create_task", None) is asyncio.BaseEventLoop.create_task
        self._depth = 3 if plain else 2
        self._previous = loop.get_task_factory()
        self._factory = self._spawn
        loop.set_task_factory(self._factory)

    def uninstall(self) -> None:
        """Put the earlier factory back. Tasks booked already are still seen to their end.

        When somebody has chained behind us meanwhile, theirs stays, and ours only passes through.
        """
        factory, self._factory = self._factory, None
        if factory is not None and self.loop and self.loop.get_task_factory() is factory:
            self.loop.set_task_factory(self._previous)

    @property
    def installed(self) -> bool:
        return self._factory is not None

    def sites(self) -> list[Site]:
        """Every spawn location seen so far. From any thread."""
        return [*self._sites.values(), self.other]

    def find(self, serial: int) -> Record | None:
        """The live task with this serial number. Cost: O(locations)."""
        for site in self.sites():
            if (record := site.live.get(serial)) is not None:
                return record
        return None

    def _spawn(
        self, loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any
    ) -> asyncio.Future[Any]:
        if self._previous is None:
            task = asyncio.Task(coro, loop=loop, **kwargs)
            if task._source_traceback:  # type: ignore[attr-defined]  # noqa: SLF001
                del task._source_traceback[-2:]  # type: ignore[attr-defined]  # noqa: SLF001
        else:
            task = self._previous(loop, coro, **kwargs)
        if self._factory is not None:
            try:
                self._book(task)
            except Exception as error:  # noqa: BLE001
                self._give_up(error)
        return task

    def _book(self, task: AnyTask) -> None:
        frame = sys._getframe(self._depth)  # noqa: SLF001
        code = frame.f_code
        if code is _CREATE_TASK:
            frame = frame.f_back  # type: ignore[assignment]
            code = frame.f_code
        site = self._sites.get((id(code), frame.f_lasti)) or self._site(frame)
        record = Record(task, site.on_lost)
        record.serial = serial = next(_serials)
        record.born = time.monotonic()
        record.owner = _owner.get()
        record.site = site
        site.live[serial] = record
        task.add_done_callback(record, context=self._context)

    def _site(self, frame: FrameType) -> Site:
        """The slow way: the first caller outside the library, or the last before the loop."""
        while _is_library(frame.f_code):
            caller = frame.f_back
            if caller is None or caller.f_code is _HANDLE_RUN:
                break
            frame = caller
        key = (id(frame.f_code), frame.f_lasti)
        site = self._sites.get(key)
        if site is None:
            if len(self._sites) >= MAX_SITES:
                return self.other
            site = self._sites[key] = Site(frame.f_code, frame.f_lasti)
        return site

    def _give_up(self, error: Exception) -> None:
        self.failure = f"{type(error).__name__}: {error}"
        self.uninstall()
        log.error(
            "the task ledger failed and has removed itself; the program goes on without it: %s",
            self.failure,
            exc_info=error,
        )
