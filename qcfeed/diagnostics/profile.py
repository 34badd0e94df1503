"""The live tasks as stacks, for flame graphs: the calls that spawned a task, then its await chain.

The weight of a stack is its number of tasks, as in a profiler it is the number of samples.
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
"""Tasks that are sampled, approximately, unless ``exact`` is given."""


class ProfileCall(NamedTuple):
    """One call. ``location``: ``file:line``."""

    location: str
    function: str


class Stack(NamedTuple):
    """How a task was spawned and where it waits, outermost call first. ``kind``: what it waits on."""

    spawned: tuple[ProfileCall, ...]
    waiting: tuple[ProfileCall, ...]
    kind: str


@dataclass(slots=True)
class Profile:
    """``stacks``: the number of tasks of each stack; their sum is ``total``. ``sampled``: how many tasks
    were looked at."""

    total: int = 0
    sampled: int = 0
    stacks: Counter[Stack] = field(default_factory=Counter)

    def add(self, seen: Iterable[Stack], stand_for: int | None = None) -> None:
        """Add tasks of one location. ``stand_for``: how many tasks there are, if this is a sample."""
        counts = Counter(seen)
        weights = counts if stand_for is None else scale_to_total(counts, stand_for)
        self.sampled += counts.total()
        self.total += sum(weights.values())
        self.stacks.update(weights)


def take(ledger: Ledger, which: Filter, now: float, *, exact: bool = False) -> Profile:
    """The stacks of the live tasks that match. ``now``: ``time.monotonic()``.

    A random sample of about SAMPLE tasks is looked at: all tasks of small locations, some of large
    ones. The weights of a location's stacks add up to the number of its tasks. ``exact``: look at all
    tasks. If there are more than SAMPLE of them, waits then show the line of the function's ``def``
    instead of the current line. A current line needs a frame object, and tens of thousands of new
    objects would trigger a full garbage collection, which stops the watched loop.

    From any thread, in slices that let the loop run. Cost: that of the filter, and 5 us per sampled
    task. Frame objects stay with their coroutines until those end: 150-180 bytes each (chain.py).
    """
    profile = Profile()
    wanted = partial(which.matches, now=now) if which else None
    found = list(by_site(ledger, wanted).values())
    by_line = not exact or sum(map(len, found)) <= SAMPLE
    for refs, share in zip(found, sample_sizes([len(each) for each in found], SAMPLE), strict=True):
        some = refs if exact or share == len(refs) else random.sample(refs, share)
        looked = (_stack(ref, by_line) for part in ledger.turns.slices(some) for ref in part)
        seen = (stack for stack in looked if stack is not None)
        profile.add(seen, None if some is refs else len(refs))
    return profile


def _stack(ref: TaskRef, by_line: bool) -> Stack | None:
    info, task = info_of_ref(ref), ref()
    if info is None or task is None or task.done():
        return None
    try:
        waiting = tuple(
            place
            for link in chain.links(task.get_coro())
            if (place := _place(link, by_line)) is not None
        )
    except Exception:  # noqa: BLE001 - a task class of the program may raise anything
        waiting = ()
    return Stack(_spawned(info), waiting, waits.kind(task))


def _spawned(info: TaskInfo) -> tuple[ProfileCall, ...]:
    """The calls of the spawn if the ledger keeps them, else only the spawn location."""
    places = calls.locations(info) or ((info.site.location, info.site.function),)
    return tuple(ProfileCall(*place) for place in places)


def _place(link: Any, by_line: bool) -> ProfileCall | None:
    code = chain.code(link)
    if code is None:
        return None
    frame = chain.frame(link) if by_line else None
    return _named(code, (frame and frame.f_lineno) or code.co_firstlineno)


@lru_cache(1_024)
def _named(code: CodeType, line: int) -> ProfileCall:
    return ProfileCall(f"{short_path(code.co_filename)}:{line}", code.co_qualname)
