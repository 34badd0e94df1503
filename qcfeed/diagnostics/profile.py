"""The live tasks as stacks: the calls that spawned them, and then the awaits that they wait in.

For flame graphs: a stack's weight is its number of tasks, as a profiler's is a number of samples.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from types import CodeType
from typing import Any, NamedTuple

from qcfeed.diagnostics import calls, chain, waits
from qcfeed.diagnostics.filters import Filter
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.sampling import sample_sizes, scale_to_total
from qcfeed.diagnostics.scan import by_site, info_of_ref
from qcfeed.diagnostics.site import short_path
from qcfeed.diagnostics.task_info import TaskInfo, TaskRef

SAMPLE = 2_000
"""Tasks that are looked at, about, unless all are asked for."""


class Place(NamedTuple):
    """One call. ``location``: ``file:line``."""

    location: str
    function: str


class Stack(NamedTuple):
    """How a task came to be and where it waits, outermost first. ``kind``: what it waits on."""

    spawned: tuple[Place, ...]
    waiting: tuple[Place, ...]
    kind: str


@dataclass(slots=True)
class Profile:
    """``stacks``: how many tasks each stands for; their sum is ``total``. ``sampled``: how many
    tasks were looked at for that."""

    total: int = 0
    sampled: int = 0
    stacks: Counter[Stack] = field(default_factory=Counter)

    def add(self, seen: Iterable[Stack], stand_for: int | None = None) -> None:
        """Tasks of one location; a sample of it if they ``stand_for`` more than they are."""
        counts = Counter(seen)
        weights = counts if stand_for is None else scale_to_total(counts, stand_for)
        self.sampled += counts.total()
        self.total += sum(weights.values())
        self.stacks.update(weights)


def take(ledger: Ledger, which: Filter, now: float, *, exact: bool = False) -> Profile:
    """The stacks of the live tasks that match. ``now`` is ``time.monotonic()``.

    About SAMPLE tasks are looked at, at random: small locations whole, of the large ones so many that
    stand for the rest, each location's weights summing up to its tasks. ``exact``: all tasks.
    Of more than SAMPLE tasks the waits are then told by function, with the line of its ``def``: the
    lines that they wait at need a frame object each, and tens of thousands of those would set off a
    full garbage collection, which stops the watched loop.
    From any thread, in slices that let the loop run. Cost: what the filter takes, and 5 us a task
    looked at; the frame objects stay with the coroutines until they end, 150-180 B each (chain.py).
    """
    profile = Profile()
    wanted = partial(which.matches, now=now) if which else None
    found = list(by_site(ledger, wanted).values())
    by_line = not exact or sum(map(len, found)) <= SAMPLE
    for refs, share in zip(found, sample_sizes([len(each) for each in found], SAMPLE), strict=True):
        some = refs if exact or share == len(refs) else random.sample(refs, share)
        looked = (_stack(ref, by_line) for part in ledger.slices(some) for ref in part)
        seen = (stack for stack in looked if stack is not None)
        profile.add(seen, None if some is refs else len(refs))
    return profile


def _stack(ref: TaskRef, by_line: bool) -> Stack | None:
    known, task = info_of_ref(ref), ref()
    if known is None or task is None or task.done():
        return None
    try:
        waiting = tuple(
            place
            for link in chain.links(task.get_coro())
            if (place := _place(link, by_line)) is not None
        )
    except Exception:  # noqa: BLE001 - a task is whatever somebody made it
        waiting = ()
    return Stack(_spawned(known), waiting, waits.kind(task))


def _spawned(known: TaskInfo) -> tuple[Place, ...]:
    """The calls of its spawning where the ledger keeps them, else the line alone."""
    places = calls.locations(known) or ((known.site.location, known.site.function),)
    return tuple(Place(*place) for place in places)


def _place(link: Any, by_line: bool) -> Place | None:
    code = chain.code(link)
    if code is None:
        return None
    frame = chain.frame(link) if by_line else None
    return _named(code, (frame and frame.f_lineno) or code.co_firstlineno)


@lru_cache(1_024)
def _named(code: CodeType, line: int) -> Place:
    return Place(f"{short_path(code.co_filename)}:{line}", code.co_qualname)
