"""Walks from named roots to the objects that they lead to, and adds up their sizes.

Each object counts once, for the root that leads to it first. Only some items of a long
container are visited, and stand for the others. An item that is also referred to from elsewhere then counts in
proportion: an object in a list and in a dict counts half for each.

It enumerates no heap: ``gc.get_objects()`` stops the loop for 30 to 50 ms at 500,000 objects. So what
no root leads to is not seen. It executes nothing of the program, and runs in slices.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from types import (
    AsyncGeneratorType,
    BuiltinFunctionType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    MethodType,
    ModuleType,
)
from typing import Any

from qcfeed.diagnostics.held_memory import is_wake_up
from qcfeed.diagnostics.object_sizes import ObjectSizes, referents

MAX_NODES = 120_000
"""Objects that are visited at most; they take 100 bytes each during the walk."""
MAX_SECONDS = 3.0
"""Seconds after which the walk ends, even if it is not complete."""
_SLICE = 20
"""Objects that are visited before the loop may run."""
_OURS = 4
"""References to a referent that the walk has itself, at most."""

_MEASURED_ELSEWHERE = (
    asyncio.Task,
    CoroutineType,
    GeneratorType,
    AsyncGeneratorType,
    FrameType,
    BuiltinFunctionType,
)
"""Tasks and their frames are measured by task_memory.py."""
_CALLBACKS = (FunctionType, MethodType)
_LEAVES = frozenset({str, bytes, int, float, bool, complex, type(None), range})


class HeapWalk:
    """One walk over several roots, one after the other.

    ``pause`` is called often and lets the watched loop run. Cost: 2 us per object.
    """

    def __init__(
        self,
        sizes: ObjectSizes,
        pause: Callable[[], None],
        *,
        most: int = MAX_NODES,
        seconds: float = MAX_SECONDS,
    ) -> None:
        self._sizes = sizes
        self._pause = pause
        self._most = most
        self._deadline = time.monotonic() + seconds
        self.complete = True
        """Whether everything that the roots lead to was visited."""
        # One entry per visited object, in lists without an object per entry: new objects by the
        # thousand would make the garbage collector stop the loop.
        self.things: list[Any] = []
        self.parents = array("q")
        """The node that led to each node; -1 for a root."""
        self.bytes = array("d")
        """The bytes of each node, with those of the leaves that it refers to."""
        self._weights = array("d")
        self._leads_on = bytearray()
        """Whether each node refers to anything but its class."""
        self._not_followed: tuple[type, ...] = _MEASURED_ELSEWHERE
        self._visited: set[int] = {id(self.__dict__), id(self), id(self.things)}

    def ignore(self, things: Iterable[Any]) -> None:
        """Never visit these, nor what only they lead to."""
        self._visited.update(map(id, things))

    @contextlib.contextmanager
    def without(self, things: Iterable[Any]) -> Iterator[None]:
        """For the block, do not visit these, unless they were visited before."""
        added = set(map(id, things)) - self._visited
        self._visited |= added
        yield
        self._visited -= added

    def visit(self, roots: Iterable[Any], *, callbacks: bool = True) -> tuple[float, Counter[type]]:
        """The bytes of what these roots lead to and no earlier ones did, and the same by type.

        ``callbacks``: whether to follow functions and methods, which may lead to the whole program.
        """
        types: Counter[type] = Counter()
        self._not_followed = _MEASURED_ELSEWHERE + (() if callbacks else _CALLBACKS)
        first = node = len(self.things)
        for root in roots:
            self._add(root, -1, 1.0, types)
        while node < len(self.things):
            if node % _SLICE == 0:
                self._pause()
                if time.monotonic() > self._deadline:
                    self.complete = False
                    break
            self._expand(node, types)
            node += 1
        return sum(self.bytes[first:]), types

    def _expand(self, node: int, types: Counter[type]) -> None:
        thing = self.things[node]
        found, scale = referents(thing)
        if type(thing) is FunctionType:
            # A function refers to its module's namespace, which does not belong to it.
            found = [each for each in found if each is not thing.__globals__]
        weight = self._weights[node] * scale
        for each in found:
            if each is type(thing):
                continue
            self._leads_on[node] = True
            if type(each) not in _LEAVES:
                self._add(each, node, weight, types)
                continue
            # A string in a thousand places counts a thousandth in each.
            size = weight * self._sizes.of(each) / max(1, sys.getrefcount(each) - _OURS)
            self.bytes[node] += size
            types[type(each)] += size  # type: ignore[assignment] # bytes of samples are fractions

    def _add(self, thing: Any, parent: int, weight: float, types: Counter[type]) -> None:
        """Visit an object for the first time, if it may be visited."""
        kind = type(thing)
        key = id(thing)
        if key in self._visited or not self._is_followed(thing, kind, parent):
            return
        if len(self.things) >= self._most:
            self.complete = False
            return
        self._visited.add(key)
        if weight > 1.0:  # it stands for others, and is perhaps shared with other containers
            weight = max(1.0, weight / max(1, sys.getrefcount(thing) - _OURS))
        size = weight * self._sizes.of(thing)
        self.things.append(thing)
        self.parents.append(parent)
        self._weights.append(weight)
        self._leads_on.append(parent < 0)  # a root may be named even if it refers to nothing
        self.bytes.append(size)
        types[kind] += size  # type: ignore[assignment]

    def _is_followed(self, thing: Any, kind: type, parent: int) -> bool:
        """Whether an object belongs to what leads to it. Modules and classes belong to no instance."""
        if issubclass(kind, self._not_followed):
            return False
        if kind is asyncio.TimerHandle:
            return not is_wake_up(thing)
        if issubclass(kind, ModuleType):
            return parent < 0
        return not issubclass(kind, type) or (parent >= 0 and self._is_namespace(parent))

    def _is_namespace(self, node: int) -> bool:
        """Whether a node is a class, or the namespace of a class or module."""
        thing, parent = self.things[node], self.parents[node]
        if type(thing) is dict and parent >= 0:
            thing = self.things[parent]
        return issubclass(type(thing), (ModuleType, type))

    def accumulations(self, least: float) -> list[tuple[int, float]]:
        """The nodes in which at least ``least`` bytes accumulate, with these bytes, most first.

        What accumulates in one of them does not count again for the one that leads to it. So this
        names the list that grows, not the object, the module and the program around it. An item that
        stands for others, or refers to nothing, is never named: it counts for what holds it.
        """
        totals = self.bytes[:]
        found = []
        # From the end: every node was added after its parent, so its own total is complete by then.
        for node in range(len(totals) - 1, -1, -1):
            if node % 1_000 == 0:
                self._pause()
            named = self._weights[node] == 1.0 and self._leads_on[node]
            if totals[node] >= least and named:
                found.append((node, totals[node]))
            elif self.parents[node] >= 0:
                totals[self.parents[node]] += totals[node]
        return sorted(found, key=lambda each: -each[1])
