"""What the live tasks of each spawn location hold, from a sample of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from qcfeed.diagnostics import chain, references
from qcfeed.diagnostics.held_memory import held_by
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.object_sizes import ObjectSizes
from qcfeed.diagnostics.sampling import sample_sizes
from qcfeed.diagnostics.scan import by_site
from qcfeed.diagnostics.snapshot import coroutine
from qcfeed.diagnostics.task_info import TaskRef

SAMPLE = 600
"""Tasks that are measured, over all locations."""
UNTRACKED = "untracked"
"""Stands for the location of tasks whose creation the ledger did not see."""


@dataclass(slots=True)
class LocationMemory:
    """What the tasks of one location hold. ``bytes``: of all ``live`` ones, estimated from ``sampled``."""

    location: str
    function: str
    live: int = 0
    sampled: int = 0
    bytes: float = 0.0
    most: float = 0.0
    """Bytes of the sampled task that holds most."""

    @property
    def each(self) -> float:
        """Bytes of one task, on average."""
        return self.bytes / self.live if self.live else 0.0


class SharedObject(NamedTuple):
    """An object that a task refers to and does not hold alone. ``name``: the variable's, if known."""

    name: str
    where: str
    thing: Any


@dataclass(slots=True)
class TaskMemory:
    """The memory of the live tasks. ``shared``: objects that one task of each location shares with others."""

    rows: list[LocationMemory]
    shared: list[SharedObject]


def by_location(ledger: Ledger, sizes: ObjectSizes, sample: int = SAMPLE) -> TaskMemory:
    """The locations with what their tasks hold, most bytes first.

    Tasks that existed before the ledger have no location: they are grouped by coroutine, as UNTRACKED.

    From any thread, in slices that let the loop run. Cost: a scan, and 20 us per sampled task.
    """
    groups = [(site.location, site.function, refs) for site, refs in by_site(ledger).items()]
    groups += [(UNTRACKED, name, refs) for name, refs in _earlier(ledger).items()]
    shared: list[SharedObject] = []
    rows: dict[tuple[str, str], LocationMemory] = {}
    counts = sample_sizes([len(refs) for *_, refs in groups], sample)
    for (location, function, refs), number in zip(groups, counts, strict=True):
        row = rows.setdefault((location, function), LocationMemory(location, function))
        row.live += len(refs)
        _measure(row, ledger, refs, number, sizes, shared)
    return TaskMemory(sorted(rows.values(), key=lambda each: -each.bytes), shared)


def _earlier(ledger: Ledger) -> dict[str, list[TaskRef]]:
    """The live tasks that existed before the ledger was installed, by coroutine."""
    found: dict[str, list[TaskRef]] = {}
    for refs in ledger.turns.slices(ledger.earlier_refs()):
        for ref in refs:
            if (task := ref()) is not None and not task.done():
                found.setdefault(coroutine(task), []).append(ref)
    return found


def _measure(
    row: LocationMemory,
    ledger: Ledger,
    refs: list[TaskRef],
    number: int,
    sizes: ObjectSizes,
    shared: list[SharedObject],
) -> None:
    measured, total = 0, 0.0
    for task in _spread(ledger, refs, number):
        held = held_by(task, sizes=sizes)
        measured += 1
        total += held.bytes
        row.most = max(row.most, held.bytes)
        if measured == 1:
            shared += _others(task, held.owned, row.location)
    if measured:
        scale = len(refs) / measured
        row.sampled += measured
        row.bytes += total * scale


def _spread(ledger: Ledger, refs: list[TaskRef], number: int) -> Iterator[Any]:
    """``number`` tasks, spread evenly over the list."""
    for place in range(number):
        ledger.turns.let_loop_run()
        task = refs[place * len(refs) // number]()
        if task is not None and not task.done():
            yield task


def _others(task: Any, owned: set[int], location: str) -> Iterator[SharedObject]:
    """The objects in the variables of a task's coroutines that the task does not hold alone."""
    links = references.own(chain.links(task.get_coro()))
    # Reading f_locals leaves 190 bytes on a frame on 3.11. So this is done for one task per location only.
    for link in links:
        code, frame = chain.code(link), chain.frame(link)
        where = f"a variable of {getattr(code, 'co_qualname', '?')}, a task of {location}"
        for name, thing in {} if frame is None else dict(frame.f_locals).items():
            if id(thing) not in owned:
                yield SharedObject(name, where, thing)
    for thing in references.held(links):
        if id(thing) not in owned:
            yield SharedObject("", f"a variable of a task of {location}", thing)
