"""What a task alone holds: the memory that would be freed if it ended now.

It is counted by references. A task holds its coroutine; of each object that it holds, it also holds
what nothing else refers to. So an object counts if all its references come from objects that already
count. A timer that wakes the task counts too, although the event loop also refers to it. What is shared
with anything else does not count: connections, caches, other tasks. Objects that refer to each other in
a ring do not count either, so the result is a lower bound.

The sizes are those of object_sizes.py; of long containers some items are measured.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from dataclasses import dataclass, field
from typing import Any

from qcfeed.diagnostics.object_sizes import ObjectSizes, referents

MAX_OBJECTS = 2_000
"""Objects that are measured for one task."""


@dataclass(slots=True)
class HeldMemory:
    """The bytes that some objects hold. ``owned``: the ids of all objects that count."""

    bytes: float = 0.0
    owned: set[int] = field(default_factory=set)


def held_by(*roots: Any, sizes: ObjectSizes, most: int = MAX_OBJECTS) -> HeldMemory:
    """What these objects alone hold together, with themselves; at most ``most`` objects are looked at.

    From any thread, while the program runs. Cost: 1 us per object.
    """
    found = HeldMemory(owned=set(map(id, roots)))
    seen: dict[int, int] = {}
    todo: list[tuple[Any, float]] = [(root, 1.0) for root in roots]
    while todo and len(found.owned) <= most:
        thing, weight = todo.pop()
        found.bytes += weight * sizes.of(thing)
        things, scale = referents(thing)
        for each in things:
            key = id(each)
            if key in found.owned:
                continue
            references = seen.get(key, 0) + 1
            # The event loop's heap holds one more reference to a timer, which does not count.
            if sys.getrefcount(each) - _OURS - is_wake_up(each) <= references:
                found.owned.add(key)
                todo.append((each, weight * scale))
            else:
                seen[key] = references
    return found


def is_wake_up(thing: Any) -> bool:
    """Whether it is the timer of a ``sleep``, which wakes one task."""
    return type(thing) is asyncio.TimerHandle and thing._callback is _WAKE_UP  # type: ignore[attr-defined]  # noqa: SLF001


def _measure_ours() -> int:
    """The references to a referent that the loop in ``held_by`` has itself; Python versions differ."""
    probe = [object()]
    for each in gc.get_referents(probe):
        return sys.getrefcount(each) - 1
    raise AssertionError


_OURS = _measure_ours()
_WAKE_UP = getattr(asyncio.futures, "_set_result_unless_cancelled", None)
