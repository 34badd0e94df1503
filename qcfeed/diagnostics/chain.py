"""The chain of awaits of a task: its own coroutine, what that awaits, and so on to the innermost.

Looked at from outside and without ``f_locals``. A coroutine's code and what it holds (its locals,
by ``gc.get_referents``) can be had without its frame object, and that leaves nothing behind; the
frame object, which is needed for a line number, stays with the coroutine: 150-180 B on 3.11 to 3.13.
"""

from __future__ import annotations

import gc
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, GeneratorType
from typing import Any

DEPTH = 100
"""Awaits followed at most; what lies deeper is not seen."""

_WRITTEN_IN_PYTHON = (CoroutineType, AsyncGeneratorType, GeneratorType)
_BRIDGES = frozenset(
    {"async_generator_asend", "async_generator_athrow", "anext_awaitable", "coroutine_wrapper"}
)
"""What stands between two links and does not say for whom, by type name; Cython has its own."""
_ENDS = frozenset({"FutureIter", "NoneType"})
"""What the chain usually ends in; hasattr() would find that out, but slowly."""


def links(coro: Any) -> list[Any]:
    """Coroutines, generators and async generators, outermost first.

    Of a coroutine that runs only those that are entered are there; of one that is written in C and
    has no ``cr_await``, none. Cost: 0.2 us a link.
    """
    found: list[Any] = []
    awaited = coro
    for _ in range(DEPTH):
        kind = type(awaited)
        if kind is CoroutineType:
            found.append(awaited)
            awaited = awaited.cr_await
        elif kind is AsyncGeneratorType:
            found.append(awaited)
            awaited = awaited.ag_await
        elif kind is GeneratorType:
            found.append(awaited)
            awaited = awaited.gi_yieldfrom
        elif (name := kind.__name__) in _BRIDGES:
            awaited = _behind(awaited)
        elif name not in _ENDS and hasattr(awaited, "cr_await"):  # compiled by Cython
            found.append(awaited)
            awaited = awaited.cr_await
        else:
            break
    return found


def _behind(bridge: Any) -> Any:
    for held_ in gc.get_referents(bridge):
        kind = type(held_)
        if kind in _WRITTEN_IN_PYTHON or kind.__name__ in _BRIDGES or hasattr(held_, "cr_await"):
            return held_
    return None


def held(link: Any) -> list[Any]:
    """What a suspended link holds: arguments and variables, then what its ``with`` blocks exit by.

    Other things are among them; look for a type. Cost: 0.3 us.
    """
    found = gc.get_referents(link)
    if not is_compiled(link):
        return found
    return [inner for scope in found for inner in gc.get_referents(scope)]


def bound_to(thing: Any) -> Any:
    """The object that a method is bound to; None for anything else.

    What a suspended ``with`` block holds is how it will be left, a method of the context manager.
    """
    return getattr(thing, "__self__", None)


def cell(function: Any, name: str) -> Any:
    """What a variable of the enclosing function is, seen from an inner one. By name: which others
    there are differs between versions. Raises KeyError when it has none of that name."""
    return dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))[
        name
    ].cell_contents


def is_compiled(link: Any) -> bool:
    """Whether it was made of C code, as Cython does: uvloop's coroutines, some of aiohttp's."""
    return type(link) not in _WRITTEN_IN_PYTHON


def code(link: Any) -> CodeType | None:
    """Its code; leaves nothing behind."""
    if type(link) is CoroutineType:
        return link.cr_code  # the usual case, and the fast way
    return getattr(link, "cr_code", None) or getattr(
        link, "ag_code", getattr(link, "gi_code", None)
    )


def frame(link: Any) -> FrameType | None:
    """Its frame; None where it has none any more, or never had."""
    for name in ("cr_frame", "ag_frame", "gi_frame"):
        found = getattr(link, name, None)
        if found is not None:
            return found  # type: ignore[no-any-return]
    return None
