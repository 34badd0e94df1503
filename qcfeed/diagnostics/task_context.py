"""Where tasks come from, beside the line: whom they serve and what they are about.

An *origin* is an owner and labels. It is inherited as all context is (``contextvars``): a task gets
the one that its spawner had, by one reference, however many labels there are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Protocol


class Closable(Protocol):
    """An owner: something that can be over. ``str(owner)`` describes it in evidence.

    It may also have ``closed_at``, in seconds of ``time.monotonic()``.
    """

    @property
    def closed(self) -> bool: ...


Owner = Closable | Callable[[], bool]
"""Anything with ``closed``, or a callable that returns True once it is gone."""

Labels = Mapping[str, str]
"""Never changed once made; tasks of one context share it."""


class TaskContext:
    """What all tasks that are spawned in one context have in common."""

    __slots__ = ("labels", "owner")

    def __init__(self, owner: Owner | None, labels: Labels) -> None:
        self.owner = owner
        self.labels = labels


current_context: ContextVar[TaskContext] = ContextVar(
    "qcfeed_task_origin",
    default=TaskContext(None, MappingProxyType({})),  # noqa: B039 - nothing ever changes it
)
"""Of what is spawned here and now; the ledger reads it at each spawn."""


@contextlib.contextmanager
def owned_by(owner: Owner | None) -> Iterator[None]:
    """Tasks spawned inside belong to ``owner``, and so do those that they spawn; None clears it.

    A trap: callbacks (``call_soon``, ``add_done_callback``) inherit the context they were made in.
    A long-lived component that spawns on behalf of others when one of them calls must say
    ``owned_by`` itself, or what it spawns is booked to whoever happened to wake it.
    """
    token = current_context.set(TaskContext(owner, current_context.get().labels))
    try:
        yield
    finally:
        current_context.reset(token)
