"""Sizes of single objects, and what they refer to, without executing anything of the program.

A size is that of ``sys.getsizeof``: the object itself, without what it refers to. A ``__sizeof__`` that
is written in Python is not called. Only some items of a large container are examined.
"""

from __future__ import annotations

import gc
import mmap
import sys
from collections import deque
from collections.abc import Callable
from itertools import islice
from types import MethodDescriptorType
from typing import Any, NamedTuple

MAX_ITEMS = 256
"""A container with at most this many items is examined whole; SAMPLED items of a longer one are."""
SAMPLED = 64

_HAS_GC = 1 << 14
"""Py_TPFLAGS_HAVE_GC: an object of this type has a header for the garbage collector."""
_GC_HEADER = sys.getsizeof([]) - [].__sizeof__()

Sizer = Callable[[Any], int]


class Referents(NamedTuple):
    """What an object refers to. ``scale``: how many references each one in the list stands for."""

    things: list[Any]
    scale: float = 1.0


class ObjectSizes:
    """Sizes of objects; the way to find them is kept for each type. Cost: 0.3 us per object."""

    def __init__(self) -> None:
        self._sizers: dict[type, Sizer] = {}

    def of(self, thing: Any) -> int:
        """The size of the object itself, in bytes; for an ``mmap``, that of the memory it maps."""
        kind = type(thing)
        sizer = self._sizers.get(kind)
        if sizer is None:
            sizer = self._sizers[kind] = _sizer(kind)
        try:
            return sizer(thing)
        except Exception:  # noqa: BLE001 - such as a closed mmap: an object in an odd state has no size
            return 0


def _sizer(kind: type) -> Sizer:
    header = _GC_HEADER if kind.__flags__ & _HAS_GC else 0
    if kind is mmap.mmap:
        return len
    for base in type.mro(kind) if kind is not type else (kind,):
        found = base.__dict__.get("__sizeof__")
        if type(found) is MethodDescriptorType:
            # Descriptors of C types take an instance; one from Python code would run that code.
            return lambda thing: found(thing) + header
    return lambda thing: object.__sizeof__(thing) + header


def referents(thing: Any) -> Referents:
    """What an object refers to. Cost: 0.5 us, and 0.05 us per item; a long container costs as a short one."""
    kind = type(thing)
    for container, sample in _SAMPLERS:
        if issubclass(kind, container):
            size: int = container.__len__(thing)
            if size > MAX_ITEMS:
                found = sample(thing, size)
                per_item = 2 if container is dict else 1
                return Referents(found, size * per_item / max(1, len(found)))
            break
    return Referents(gc.get_referents(thing))


def items(thing: Any) -> int | None:
    """The number of a container's items; None if it is not a container."""
    for container, _ in _SAMPLERS:
        if issubclass(type(thing), container):
            length: int = container.__len__(thing)
            return length
    return None


def _of_list(thing: Any, size: int) -> list[Any]:
    step = size // SAMPLED
    # The methods of the built-in types: a subclass of the program may have overridden them.
    getitem = list.__getitem__ if issubclass(type(thing), list) else tuple.__getitem__
    found = []
    for place in range(0, SAMPLED * step, step):
        try:
            found.append(getitem(thing, place))
        except IndexError:  # it became shorter meanwhile
            break
    return found


def _of_dict(thing: Any, _: int) -> list[Any]:
    found: list[Any] = []
    for key, value in _first(dict.items, thing):
        found += (key, value)
    return found


def _of_set(thing: Any, _: int) -> list[Any]:
    return _first((set if issubclass(type(thing), set) else frozenset).__iter__, thing)


def _of_deque(thing: Any, _: int) -> list[Any]:
    return _first(deque.__iter__, thing)


def _first(view: Callable[[Any], Any], thing: Any) -> list[Any]:
    """The first items. The loop may change the container meanwhile, so that is tried again."""
    for _ in range(3):
        try:
            return list(islice(view(thing), SAMPLED))
        except RuntimeError:
            continue
    return []


_SAMPLERS: tuple[tuple[Any, Callable[[Any, int], list[Any]]], ...] = (
    (dict, _of_dict),
    (list, _of_list),
    (tuple, _of_list),
    (set, _of_set),
    (frozenset, _of_set),
    (deque, _of_deque),
)
