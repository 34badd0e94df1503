"""The answers of commands that reach into a running process: ``tasks --pid``, ``attach``, ``detach``.

See answer.py for the fields and rules that all answers share.
"""

from __future__ import annotations

import msgspec

from qcfeed.model.answer import Answer
from qcfeed.model.tasks import GroupedTasks


class ProcessLoop(msgspec.Struct, kw_only=True):
    """A running event loop. ``loop``: its class. ``held_ms``: the longest time for which looking at its tasks
    kept the program from running."""

    thread: str
    loop: str
    total: int
    held_ms: float
    groups: list[GroupedTasks]


class ProcessTasks(Answer, kw_only=True, tag="qcfeed.process_tasks/1"):
    """The tasks of a process, by coroutine and by where they wait."""

    python: str
    command: str
    loops: list[ProcessLoop]


class ProcessAttached(Answer, kw_only=True, tag="qcfeed.attached/1"):
    """A process was attached as ``instance``. ``socket``: its control plane.

    ``earlier_tasks``: how many tasks it had by then. ``seconds``: how long it stays attached; null if until it
    is detached.
    """

    python: str
    command: str
    socket: str
    earlier_tasks: int
    seconds: float | None = None


class ProcessDetached(Answer, kw_only=True, tag="qcfeed.detached/1"):
    """A process was detached. ``left``: parts of qcfeed that should be gone and are still there."""

    command: str
    left: list[str]
