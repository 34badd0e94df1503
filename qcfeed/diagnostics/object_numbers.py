"""Numbers for objects of the program, so that people can tell two locks apart.

A number stays with an object while it lives and is never used again in the process. ``id()`` is used
again as soon as an object is freed.
"""

from __future__ import annotations

import itertools
import weakref
from typing import Any


class _Ref(weakref.ref[Any]):
    __slots__ = ("key", "number")

    key: int
    number: int


_known: dict[int, _Ref] = {}
_numbers = itertools.count(1)


def number_of(thing: object) -> int | None:
    """The number of an object, given to it at the first call; None if it cannot be referred to weakly.

    From any thread. Cost: 1 us, and 150 bytes while the object lives.
    """
    known = _known.get(id(thing))
    if known is not None and known() is thing:
        return known.number
    try:
        made = _Ref(thing, _forget)
    except TypeError:
        return None
    made.key, made.number = id(thing), next(_numbers)
    # Another thread may have numbered it meanwhile; both must get the same number. The entry of a freed
    # object whose id() this one has got is replaced.
    kept = _known.setdefault(made.key, made)
    if kept() is not thing:
        _known[made.key] = kept = made
    return kept.number


def _forget(ref: _Ref) -> None:
    """The object was freed. This may run in any thread, between any two instructions."""
    # By now the entry may belong to a new object with the same id().
    if _known.get(ref.key) is ref:
        _known.pop(ref.key, None)
