"""The answer that counts tasks by the object that they wait for.

See answer.py for the fields and rules that all answers share.
"""

from __future__ import annotations

import msgspec

from qcfeed.model.answer import Answer
from qcfeed.model.tasks import TaskFilter


class ObjectQuery(TaskFilter, kw_only=True):
    """``exact``: look at all tasks instead of a sample."""

    limit: int = 1000
    exact: bool = False


class ObjectHolder(msgspec.Struct, kw_only=True):
    """What keeps an object from waking its waiters, and where that waits itself.

    ``how``: ``holds`` (a task inside ``async with`` on the lock or semaphore), ``is awaited`` (a task), ``runs``
    (the threads of a pool), ``refers to it`` (a task that has the object in a variable or an attribute, so it
    may wake the waiters). ``serial``: null for threads, and for a task that the ledger did not record.
    ``state``: what the holder waits on. ``waits_for``: the object that it waits for, as ``Lock 3``; empty if that
    has no number.
    """

    how: str
    label: str
    """How to call it: ``task 12 (pump)``."""
    serial: int | None
    name: str
    coroutine: str
    location: str
    state: str
    waits_for: str


class WaitedObject(msgspec.Struct, kw_only=True):
    """The tasks that wait for one object, or for one object of a kind each.

    ``object_count``: how many objects. If it is more than 1, the other fields describe one of them as an example,
    without number and state. If it is 0, the tasks wait for no object: they are ``ready`` or ``running``.
    ``object_number``: with ``kind`` the object's identity while it lives. ``name``: the attribute or variable that
    refers to it. ``waiters``: how many wait by the object's own count; null if it does not count them.
    ``at``: where the tasks wait. ``spawn_locations``: where they were created, up to three. ``holders``: up to three
    of ``holder_count``. ``path``: the holders behind the first holder, nearest first; ``deadlock``: the path
    comes back to itself, and nothing can end it. ``per_minute``: growth in the window; only if a window was
    requested, and null if it is not known.
    """

    kind: str
    label: str
    """How to call the object: ``Lock 3``; without a number the kind alone."""
    object_number: int | None
    name: str
    state: str
    task_count: int
    object_count: int
    waiters: int | None
    at: str
    spawn_locations: list[str]
    holder: str
    """The first holder and what is behind it, in words; empty if no holder is known."""
    holders: list[ObjectHolder]
    holder_count: int
    path: list[ObjectHolder]
    deadlock: bool
    per_minute: float | msgspec.UnsetType | None = msgspec.UNSET


class TasksByObject(Answer, kw_only=True, tag="qcfeed.tasks.by_object/1"):
    """Objects, most tasks first. ``total``: how many rows there are, including those beyond the limit.

    ``sampled`` of ``live`` matching tasks were looked at; if it is less, each ``task_count`` is an estimate.
    ``searched`` of ``searchable`` tasks were searched for the holders of locks; both are 0 if no lock is waited
    for. ``untracked``: live tasks that were created around the ledger; no row counts them. ``since``: when this
    process began to answer. ``window_s``: seconds between the two looks, if a window was requested.
    """

    total: int
    live: int
    sampled: int
    searched: int
    searchable: int
    untracked: int
    objects: list[WaitedObject]
    since: str = ""
    window_s: float | msgspec.UnsetType = msgspec.UNSET
