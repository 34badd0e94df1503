"""Lists of a reference to every task of a large program, without stalling its loop.

Two things happen to such a list in one step, and both take longer the longer it is. The garbage
collector goes through a new list as a whole: 20 ms for a million references. Freeing the list frees
what only it still refers to: 100 ms for a million weak references to tasks that have ended.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, TypeVar

T = TypeVar("T")

_spare: list[list[Any]] = [[], [], [], []]
"""They exist from the start, so the collector counts them as old: only a full collection, which goes
through all of the program's objects, goes through them as well."""


@contextlib.contextmanager
def spare_list() -> Iterator[list[Any]]:
    """An empty list for this block, kept for the next use. From any thread.

    After an exception it is not kept: a thread that the block has started may still be adding to it.
    """
    try:
        found = _spare.pop()
    except IndexError:
        found = []
    try:
        yield found
    except GeneratorExit:
        _keep(found)  # in a generator that nobody wants to go on
        raise
    _keep(found)


def _keep(found: list[Any]) -> None:
    found.clear()
    _spare.append(found)


def drained(items: list[T]) -> Iterator[T]:
    """The items, last first. The list lets go of each before the next is asked for."""
    while items:
        yield items.pop()
