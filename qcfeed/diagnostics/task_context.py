"""The owner and labels that a task inherits from the code that spawns it.

They are kept together in one *task context*, in a ``contextvars.ContextVar``. A task gets the task
context of its spawner as a single reference, however many labels there are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Protocol


class Closable(Protocol):
    """An owner that says itself whether it is closed. ``str(owner)`` describes it in evidence.

    It may also have ``closed_at``: when it closed, by ``time.monotonic()``.
    """

    @property
    def closed(self) -> bool:
        """Whether the owner is gone, so that its live tasks are orphans."""


Owner = Closable | Callable[[], bool]
"""What a task works for: an object with ``closed``, or a callable that returns True once it is gone."""

Labels = Mapping[str, str]
"""Keys and values. The mapping is shared by all tasks of one task context and never changes."""


class TaskContext:
    """The owner and labels of all tasks that are spawned in one context."""

    __slots__ = ("labels", "owner")

    def __init__(self, owner: Owner | None, labels: Labels) -> None:
        self.owner = owner
        self.labels = labels


current_context: ContextVar[TaskContext] = ContextVar(
    "qcfeed_task_origin",
    default=TaskContext(None, MappingProxyType({})),  # noqa: B039 - it is never changed
)
"""The task context of what is spawned here and now. The ledger reads it at each spawn."""


@contextlib.contextmanager
def owned_by(owner: Owner | None) -> Iterator[None]:
    """Declare the owner of all tasks that are spawned inside the block, and of those that they spawn.

    ``owner``: an object with a ``closed`` property, or a callable that returns True once it is gone.
    A task that is alive when its owner is gone is an *orphan*. None: the tasks have no owner::

        with owned_by(session):
            session.tasks.append(asyncio.create_task(remind(session)))

    Raises nothing of its own. Cost: 1 us to enter; nothing per task.

    Callbacks (``call_soon``, ``add_done_callback``) run in the context in which they were created.
    A long-lived component that spawns tasks when a client calls it must enter ``owned_by`` itself.
    Otherwise its tasks belong to the client that happened to call.
    """
    token = current_context.set(TaskContext(owner, current_context.get().labels))
    try:
        yield
    finally:
        current_context.reset(token)
