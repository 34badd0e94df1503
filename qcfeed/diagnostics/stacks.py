"""The current stacks of all threads, of the tasks that run in them, and of waiting tasks.

They are read from outside, so this works while a loop is stuck. Threads go on meanwhile: the stack of
each thread is of a slightly different moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import linecache
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

from qcfeed.diagnostics import chain, registry
from qcfeed.diagnostics.site import AnyTask, short_path

_ASYNCIO = os.path.join(os.path.dirname(asyncio.__file__), "")  # noqa: PTH118,PTH120

DEPTH = 200
"""Frames per thread, the innermost; outer ones are only counted."""


@dataclass(frozen=True, slots=True)
class StackFrame:
    """One call. ``file`` is relative to the directory that it was imported from.

    ``source``: the text of the line as the file has it now; None for code from ``exec``, compiled code
    or a deleted file. If the file has changed since it was imported, the text may be wrong.
    """

    file: str
    line: int
    function: str
    source: str | None

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.function}"


@dataclass(slots=True)
class CapturedStack:
    """The calls of one thread, innermost last. ``dropped_frames``: outer calls that are left out.

    ``running_task``: the task that runs in it, if any.
    """

    name: str
    ident: int
    daemon: bool
    stack: list[StackFrame] = field(default_factory=list)
    dropped_frames: int = 0
    running_task: AnyTask | None = None


def threads() -> list[CapturedStack]:
    """Every thread that runs Python code, the main thread first, then by thread number.

    Threads that never ran Python code are not seen; threads that Python did not start have no name.
    Cost: 5 us per call whose file is cached.
    """
    current = sys._current_frames()  # noqa: SLF001
    # First note the lines of all threads, then look up sources: the threads go on meanwhile.
    taken = {ident: _outwards(frame) for ident, frame in current.items()}
    running = _running(taken.values())
    known = {thread.ident: thread for thread in threading.enumerate()}
    main = threading.main_thread().ident
    found = []
    for ident in sorted(taken, key=lambda ident: (ident != main, ident)):
        thread = known.get(ident)
        calls = taken[ident]
        found.append(
            CapturedStack(
                name=thread.name if thread else "?",
                ident=ident,
                daemon=thread.daemon if thread else True,
                stack=[_of_frame(frame, line) for frame, line in reversed(calls[:DEPTH])],
                dropped_frames=max(0, len(calls) - DEPTH),
                running_task=next((running[id(f)] for f, _ in calls if id(f) in running), None),
            )
        )
    return found


def task_stack(task: AnyTask) -> list[StackFrame]:
    """The await chain of a task, outermost first; for a running task also the calls that it is in.

    From any thread. Never raises: a task that cannot be read has no frames. Cost: 5 us per frame; the
    frame objects stay with the coroutines until those end (chain.py).
    """
    try:
        links = chain.links(task.get_coro())
        found = [frame for link in links if (frame := _of_link(link)) is not None]
        if links and asyncio.current_task(task.get_loop()) is task:
            found += _further(chain.frame(links[-1]))
    except Exception:  # noqa: BLE001 - a task class of the program may raise anything
        return []
    return found


def _outwards(frame: FrameType | None) -> list[tuple[FrameType, int]]:
    """The calls of a thread with their current lines, innermost first."""
    calls = []
    while frame is not None:
        calls.append((frame, frame.f_lineno or frame.f_code.co_firstlineno))
        frame = frame.f_back
    return calls


def _running(stacks: Iterable[list[tuple[FrameType, int]]]) -> dict[int, AnyTask]:
    """The task that each loop runs now, by the id of its coroutine's frame."""
    running = {}
    for task in _current_tasks(stacks):
        with contextlib.suppress(Exception):  # a task class of the program may raise anything
            frame = chain.frame(task.get_coro())
            running[id(frame)] = task
    return running


def _current_tasks(stacks: Iterable[list[tuple[FrameType, int]]]) -> list[AnyTask]:
    """The running task of every loop, if asyncio has a dict of them; else of the loops that run in these
    stacks."""
    known = registry.asyncio_collection("_current_tasks")
    if known is not None:
        return list(known.values())
    loops = {id(loop): loop for calls in stacks for loop in _loops(calls)}
    tasks = map(_current_task, loops.values())
    return [task for task in tasks if task is not None]


def _current_task(loop: asyncio.AbstractEventLoop) -> AnyTask | None:
    with contextlib.suppress(Exception):  # a loop class of the program may raise anything
        return asyncio.current_task(loop)
    return None


def _loops(calls: list[tuple[FrameType, int]]) -> Iterator[asyncio.AbstractEventLoop]:
    """The loops that a thread runs: its stack has a call of the loop's methods or of a Runner's.

    A loop written in C has no frames; it is found by the Runner that runs it.
    """
    for frame, _ in calls:
        if frame.f_code.co_filename.startswith(_ASYNCIO) and "self" in frame.f_code.co_varnames:
            owner = frame.f_locals.get("self")
            loop = getattr(owner, "_loop", None) if isinstance(owner, asyncio.Runner) else owner
            if isinstance(loop, asyncio.AbstractEventLoop):
                yield loop


def _further(outermost: FrameType | None) -> list[StackFrame]:
    """The calls that a running coroutine has made."""
    for innermost in sys._current_frames().values():  # noqa: SLF001
        calls = _outwards(innermost)
        for place, (frame, _) in enumerate(calls):
            if frame is outermost:
                return [_of_frame(*call) for call in reversed(calls[:place])]
    return []


def _of_link(link: Any) -> StackFrame | None:
    code = chain.code(link)
    if code is None:
        return None
    frame = chain.frame(link)
    line = (frame and frame.f_lineno) or code.co_firstlineno
    return _frame(code, line, frame.f_globals if frame is not None else None)


def _of_frame(frame: FrameType, line: int) -> StackFrame:
    return _frame(frame.f_code, line, frame.f_globals)


def _frame(code: CodeType, line: int, names: dict[str, Any] | None) -> StackFrame:
    linecache.checkcache(code.co_filename)
    # linecache finds the module's loader in its globals; a loader can read from a zip file.
    source = linecache.getline(code.co_filename, line, names).strip()
    return StackFrame(short_path(code.co_filename), line, code.co_qualname, source or None)
