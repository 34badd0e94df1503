"""Groups tasks by their coroutine and by where they wait: for tasks that no ledger recorded.

``qcfeed tasks --pid`` sends this module, with those that it imports, into programs that have no qcfeed,
so it imports nothing but the standard library and modules that do the same.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterable
from functools import lru_cache
from types import CodeType
from typing import Any, Protocol

from qcfeed.diagnostics import chain
from qcfeed.diagnostics.code_origin import is_library
from qcfeed.diagnostics.site import short_path
from qcfeed.diagnostics.turns import ReaderTurns

MAX_GROUPS = 200
"""Groups that are kept apart; the tasks of further ones are counted together."""
MAX_LINES = 8
"""Tasks of a group whose line is looked up. Each costs 150 bytes, which stay with the task's coroutine."""

READY, RUNNING = "ready", "running"

_Key = tuple[object, ...]
_library = lru_cache(4096)(is_library)
_short = lru_cache(4096)(short_path)


class EarlierTasks(Protocol):
    """The part of a Ledger that ``earlier`` uses."""

    def earlier_refs(self) -> list[weakref.ref[asyncio.Task[Any]]]:
        """Weak references to tasks that existed before the ledger was installed."""

    @property
    def turns(self) -> ReaderTurns:
        """How readers in other threads let the loop run."""


class CoroutineGroup:
    """Tasks that run the same coroutine and wait at the same place.

    ``coroutine``: its qualified name. ``location``: the innermost place of the program itself, as
    ``file:line``; several lines if the tasks wait at several lines of one function. ``function``: the
    function there. ``waiting``: what that function awaits, as ``Queue.get`` or ``future``; or ``ready``
    (the task waits for its turn in the loop) or ``running``.
    """

    __slots__ = ("coroutine", "count", "function", "location", "waiting")

    def __init__(
        self, coroutine: str, location: str, function: str, waiting: str, count: int
    ) -> None:
        self.coroutine = coroutine
        self.location = location
        self.function = function
        self.waiting = waiting
        self.count = count

    def as_dict(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


class _GroupCounter:
    """A group while it is counted. ``own``: the index of the link of the program itself, in each chain."""

    __slots__ = ("code", "coroutine", "count", "lines", "looked_up", "own", "waiting")

    def __init__(
        self, coroutine: str, waiting: str, own: int | None = None, code: CodeType | None = None
    ) -> None:
        self.coroutine = coroutine
        self.waiting = waiting
        self.own = own
        self.code = code
        self.count = 0
        self.looked_up = 0
        self.lines: set[int] = set()

    def add(self, links: list[Any]) -> None:
        self.count += 1
        if self.own is not None and self.looked_up < MAX_LINES:
            self.looked_up += 1
            frame = chain.frame(links[self.own])
            if frame is not None and frame.f_lineno is not None:
                self.lines.add(frame.f_lineno)


class Grouping:
    """Groups tasks that are added in slices. From any thread.

    Cost: 1-2 us per task; no object is kept per task.
    """

    def __init__(self) -> None:
        self._found: dict[_Key, _GroupCounter] = {}
        self._others = _GroupCounter("other", "")

    def add(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        """Take in some tasks. A task that cannot be read is counted as ``unknown``."""
        running: dict[asyncio.AbstractEventLoop, asyncio.Task[Any] | None] = {}
        for task in tasks:
            try:
                loop = task.get_loop()
                if loop not in running:
                    running[loop] = asyncio.current_task(loop)
                self._add(task, is_running=running[loop] is task)
            except Exception:  # noqa: BLE001 - task and coroutine classes of the program may raise anything
                self._found.setdefault((), _GroupCounter("?", "unknown")).add([])

    def groups(self) -> list[CoroutineGroup]:
        """The groups so far, the largest first."""
        found = list(self._found.values())
        if self._others.count:
            found.append(self._others)
        groups = [
            CoroutineGroup(each.coroutine, *_place(each), each.waiting, each.count)
            for each in found
        ]
        return sorted(groups, key=lambda group: -group.count)

    def _add(self, task: asyncio.Task[Any], *, is_running: bool) -> None:
        if task.done():
            return
        links = chain.links(task.get_coro())
        waiter = getattr(task, "_fut_waiter", None)
        state = RUNNING if is_running else READY if waiter is None or waiter.done() else ""
        # By the functions, not by their lines: a line needs a frame object for every coroutine.
        key = (state, type(waiter), *[id(chain.code(link)) for link in links])
        found = self._found.get(key)
        if found is None:
            found = self._new(key, task, links, state, waiter)
        found.add(links)

    def _new(
        self, key: _Key, task: asyncio.Task[Any], links: list[Any], state: str, waiter: Any
    ) -> _GroupCounter:
        if len(self._found) >= MAX_GROUPS:
            return self._others
        codes = [chain.code(link) for link in links]
        own = _own(codes)
        waiting = state or _waiting(links, codes, own, waiter)
        code = None if own is None else codes[own]
        made = self._found[key] = _GroupCounter(_coroutine(task), waiting, own, code)
        return made


def earlier(ledger: EarlierTasks) -> list[CoroutineGroup]:
    """The live tasks that existed before a ledger was installed, grouped. From any thread, in slices.

    Cost: 1-2 us for each of them.
    """
    grouping = Grouping()
    for refs in ledger.turns.slices(ledger.earlier_refs()):
        grouping.add(task for ref in refs if (task := ref()) is not None)
    return grouping.groups()


def _coroutine(task: asyncio.Task[Any]) -> str:
    coro = task.get_coro()
    return str(getattr(coro, "__qualname__", None) or type(coro).__qualname__)


def _own(codes: list[CodeType | None]) -> int | None:
    """The index of the innermost link of the program itself, else of the innermost outside asyncio,
    else of the last one; None if there is none with code."""
    known = [n for n, code in enumerate(codes) if code is not None]
    own = [n for n in known if not _library(_file(codes[n]))]
    near = [n for n in known if "/asyncio/" not in _file(codes[n])]
    candidates = own or near or known
    return candidates[-1] if candidates else None


def _file(code: CodeType | None) -> str:
    return "" if code is None else code.co_filename


def _waiting(links: list[Any], codes: list[CodeType | None], own: int | None, waiter: Any) -> str:
    """What the program's innermost function awaits: a library's function, a task, or a future."""
    if own is not None and own + 1 < len(links):
        code = codes[own + 1]
        return str(
            getattr(links[own + 1], "__qualname__", "") if code is None else code.co_qualname
        )
    if isinstance(waiter, asyncio.Task):
        return "task"
    name = type(waiter).__name__
    return "gather" if name == "_GatheringFuture" else "future"


def _place(found: _GroupCounter) -> tuple[str, str]:
    if found.code is None:
        return "", ""
    lines = sorted(found.lines) or [found.code.co_firstlineno]
    file = _short(found.code.co_filename)
    return f"{file}:{','.join(map(str, lines))}", found.code.co_qualname
