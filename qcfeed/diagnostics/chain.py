"""The await chain of a task: its coroutine, what that awaits, and so on to the innermost.

It is read from outside and without ``f_locals``. The code of a coroutine and the objects that it
holds (its locals, by ``gc.get_referents``) can be read without its frame object, at no lasting cost.
A line number needs the frame object, which stays with the coroutine: 150-180 bytes on 3.11 to 3.13.
"""

from __future__ import annotations

import gc
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, GeneratorType
from typing import Any

DEPTH = 100
"""Awaits that are followed at most."""

_WRITTEN_IN_PYTHON = (CoroutineType, AsyncGeneratorType, GeneratorType)
_BRIDGES = frozenset(
    {"async_generator_asend", "async_generator_athrow", "anext_awaitable", "coroutine_wrapper"}
)
"""Awaitables between two links that do not expose what they wrap, by type name; Cython has its own."""
_ENDS = frozenset({"FutureIter", "NoneType"})
"""Types in which a chain usually ends, by name. ``hasattr()`` would find that out too, but slowly."""


def links(coro: Any) -> list[Any]:
    """The coroutines, generators and async generators of a chain, outermost first.

    The chain of a running coroutine ends at the innermost one that has been entered. A coroutine that
    is written in C and has no ``cr_await`` has no links. Cost: 0.2 us per link.
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
    """The objects that a suspended link holds: arguments and variables, then the exit methods of its
    ``with`` blocks.

    Other objects are among them, so look for a type. Cost: 0.3 us.
    """
    found = gc.get_referents(link)
    if not is_compiled(link):
        return found
    return [inner for scope in found for inner in gc.get_referents(scope)]


def bound_to(thing: Any) -> Any:
    """The object that a method is bound to; None for anything else.

    A suspended ``with`` block holds its exit method, which is bound to the context manager.
    """
    return getattr(thing, "__self__", None)


def cell(function: Any, name: str) -> Any:
    """The value of a variable that an inner function has from its enclosing function.

    It is looked up by name, because Python versions differ in the other variables. Raises KeyError if
    there is no variable of that name.
    """
    return dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))[
        name
    ].cell_contents


def is_compiled(link: Any) -> bool:
    """Whether a link is compiled code, as Cython's: uvloop's coroutines and some of aiohttp's."""
    return type(link) not in _WRITTEN_IN_PYTHON


def code(link: Any) -> CodeType | None:
    """The code of a link. Has no lasting cost."""
    if type(link) is CoroutineType:
        return link.cr_code  # the usual case, and faster than getattr()
    return getattr(link, "cr_code", None) or getattr(
        link, "ag_code", getattr(link, "gi_code", None)
    )


def frame(link: Any) -> FrameType | None:
    """The frame of a link, which stays with it from then on; None if it has ended or is compiled."""
    for name in ("cr_frame", "ag_frame", "gi_frame"):
        found = getattr(link, name, None)
        if found is not None:
            return found  # type: ignore[no-any-return]
    return None
