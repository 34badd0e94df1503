"""The tasks that refer to an object, such as an event: those that may wake its waiters.

An event, a queue or a future has no holder. But only code that can reach it can set it, and that is often
a task whose coroutines have it in a variable, or in an attribute of an object in a variable.
"""

from __future__ import annotations

from collections.abc import Iterable

from qcfeed.diagnostics import awaited, chain, references
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.sampling import sample_sizes
from qcfeed.diagnostics.scan import by_site
from qcfeed.diagnostics.site import AnyTask
from qcfeed.diagnostics.task_info import TaskRef

BUDGET = 1_000
"""Tasks that are searched."""
_SLICE = 20
"""Tasks per slice; a slice takes less than 0.5 ms."""
_MAX_OWNERS = 100
"""Objects of one task whose attributes are looked at."""


def find_referrers(
    ledger: Ledger, others: list[TaskRef], things: Iterable[object]
) -> dict[int, list[AnyTask]]:
    """The tasks that refer to these objects and do not wait for them, by ``id()`` of the object.

    Up to BUDGET of ``others`` are searched, then as many of the ledger's live tasks: all of small
    locations, the first ones of large ones. From any thread, in slices.
    Cost: nothing without objects; else 0.3 us per live task, and 10 us per task that is searched.
    """
    wanted = {id(thing) for thing in things}
    found: dict[int, list[AnyTask]] = {}
    if not wanted:
        return found
    live = by_site(ledger)
    sizes = sample_sizes([len(refs) for refs in live.values()], BUDGET)
    refs = [ref for some, size in zip(live.values(), sizes, strict=True) for ref in some[:size]]
    for part in ledger.turns.slices(others[:BUDGET] + refs, _SLICE):
        for ref in part:
            _note(found, ref(), wanted)
    return found


def _note(found: dict[int, list[AnyTask]], task: AnyTask | None, wanted: set[int]) -> None:
    if task is None:
        return
    try:
        reached = _reached(task) & wanted
        waits_for = awaited.find(task, []) if reached else None
    except Exception:  # noqa: BLE001 - classes of the program may raise anything
        return
    for key in reached:
        if waits_for is None or id(waits_for.awaited) != key:
            found.setdefault(key, []).append(task)


def _reached(task: AnyTask) -> set[int]:
    """The objects in the task's variables and in the attributes of those, by ``id()``."""
    held = references.held(references.own(chain.links(task.get_coro())))
    reached = {id(thing) for thing in held}
    for owner in held[:_MAX_OWNERS]:
        reached.update(map(id, references.referents(owner)))
    return reached
