"""What the memory of a program is made of: its tasks, known stores, and the rest by type.

Nothing counts twice: a store counts what its objects lead to, the tasks what they alone hold, and the
rest what modules, the event loop and the tasks' variables lead to beyond that.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple

from qcfeed.diagnostics import task_memory
from qcfeed.diagnostics.code_origin import is_library
from qcfeed.diagnostics.heap_walk import MAX_NODES, MAX_SECONDS, HeapWalk
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.object_paths import RootName, path_of, type_name
from qcfeed.diagnostics.object_sizes import ObjectSizes, items
from qcfeed.diagnostics.task_memory import LocationMemory, SharedObject

LEAST = 262_144
"""Bytes from which an object in which memory accumulates is named."""


class WalkLimits(NamedTuple):
    """How much is examined and reported."""

    objects: int = MAX_NODES
    """Objects that are visited."""
    seconds: float = MAX_SECONDS
    """Seconds after which no further objects are visited."""
    largest: int = 10
    """How many of the objects in which memory accumulates are named."""
    types: int = 20
    """Types that are listed; the others are one row."""


BOUNDS = WalkLimits()


@dataclass(slots=True)
class Store:
    """A place where a program is known to keep data. ``things``: the objects that lead to it.

    ``bytes``: memory beside them that the program has counted itself. ``counted``: the objects in that
    memory, which count nowhere else. ``outside``: objects that lead away from the store. ``note``: text
    for people.
    """

    name: str
    things: Sequence[Any] = ()
    items: int | None = None
    bytes: float = 0.0
    counted: Sequence[Any] = ()
    outside: Sequence[Any] = ()
    note: str = ""


OWN_STORE = "qcfeed's ledger and history"
"""The name of the store of these diagnostics themselves."""

Stores = Callable[[ObjectSizes], list[Store]]
"""Lists the stores of a program, from any thread."""


@dataclass(slots=True)
class Accumulation:
    """An object in which memory accumulates. ``items``: None if it is not a container."""

    path: str
    type: str
    items: int | None
    bytes: float


@dataclass(slots=True)
class MemoryReport:
    """Where the memory is. All sizes are in bytes.

    ``types``: memory of neither tasks nor stores, by type, largest first; ``other_types``: the types that
    are not listed.
    """

    tasks: list[LocationMemory]
    stores: list[Store]
    largest: list[Accumulation] = field(default_factory=list)
    types: list[tuple[str, float]] = field(default_factory=list)
    other_types: float = 0.0
    visited: int = 0
    complete: bool = True

    @property
    def explained(self) -> float:
        """The sum of all parts."""
        return (
            sum(row.bytes for row in self.tasks)
            + sum(store.bytes for store in self.stores)
            + sum(size for _, size in self.types)
            + self.other_types
        )


def take(
    ledger: Ledger,
    stores: Stores | None = None,
    bounds: WalkLimits = BOUNDS,
) -> MemoryReport:
    """Look at the memory of the program, from any thread, in slices that let the loop run.

    Cost: a scan, 20 us for each of at most 600 tasks, and 2 us for each object.
    """
    sizes = ObjectSizes()
    tasks = task_memory.by_location(ledger, sizes)
    walk = HeapWalk(sizes, ledger.turns.let_loop_run, most=bounds.objects, seconds=bounds.seconds)
    # What this report itself has created is not the program's.
    walk.ignore([walk, ledger.turns, tasks, tasks.shared, tasks.rows, sizes])
    found = _measured(list(stores(sizes)) if stores is not None else [], walk)
    names: dict[int, RootName] = {}
    types: Counter[type] = Counter()
    for roots in _roots(ledger, tasks.shared, names):
        types.update(walk.visit(roots)[1])
    report = MemoryReport(tasks.rows, sorted(found, key=lambda each: -each.bytes))
    report.largest = _largest(walk, names, bounds.largest)
    _add_types(report, types, bounds.types)
    report.visited, report.complete = len(walk.things), walk.complete
    return report


def _measured(stores: list[Store], walk: HeapWalk) -> list[Store]:
    for store in stores:
        walk.ignore(store.counted)
    for store in stores:
        with walk.without(store.outside):
            size, _ = walk.visit(store.things, callbacks=False)
        store.bytes += size
    return stores


def _roots(
    ledger: Ledger, shared: Iterable[SharedObject], names: dict[int, RootName]
) -> Iterator[list[Any]]:
    """The roots from which the program's objects are reached. Adds their names to ``names``.

    What tasks and the application's modules refer to comes first, as the walk may have to end before it
    has visited everything.
    """
    for name, where, thing in shared:
        names.setdefault(id(thing), RootName(name or type_name(type(thing)), where))
    yield [each.thing for each in shared]
    names[id(ledger.loop)] = RootName("the event loop")
    yield [ledger.loop]
    modules: tuple[list[Any], list[Any]] = ([], [])
    for name, module in list(sys.modules.items()):
        if issubclass(type(module), ModuleType):
            names.setdefault(id(module), RootName(name))
            file = vars(module).get("__file__")
            # The application's modules first, then those of libraries.
            modules[not isinstance(file, str) or is_library(file)].append(module)
    yield from modules


def _largest(walk: HeapWalk, names: dict[int, RootName], most: int) -> list[Accumulation]:
    return [
        Accumulation(
            path=path_of(walk, node, names),
            type=type_name(type(walk.things[node])),
            items=items(walk.things[node]),
            bytes=size,
        )
        for node, size in walk.accumulations(LEAST)[:most]
    ]


def _add_types(report: MemoryReport, types: Counter[type], most: int) -> None:
    rows = sorted(types.items(), key=lambda each: -each[1])
    report.types = [(type_name(kind), size) for kind, size in rows[:most]]
    report.other_types = sum(size for _, size in rows[most:])
