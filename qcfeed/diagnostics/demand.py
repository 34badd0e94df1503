"""Why a task may live for long in a sound program: reasons that can be seen from outside.

Tasks that do not end are a leak unless something explains them. A reason says when or by what the task
will end: its owner, the peer of its connection, or a timer.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from enum import Enum
from typing import Any, NamedTuple

from qcfeed.diagnostics import chain, waits
from qcfeed.diagnostics.connections import HeldConnectionState, connections
from qcfeed.diagnostics.loops_in_code import calls_itself, rounds_left
from qcfeed.diagnostics.orphans import is_orphan
from qcfeed.diagnostics.site import AnyTask
from qcfeed.diagnostics.task_info import TaskInfo, task_of

LONG_S = 900.0
"""Seconds. A timer that ends later explains why a task lives, but not why ever more are created."""
MAX_SHARING = 2
"""Tasks that one owner or connection explains. If more tasks hold it, they only share it."""
MIN_PAIRS = 2
"""Pairs of examined tasks with the same owner or connection that are needed to estimate how many tasks
share each."""
MIN_DIRECTION = 4
"""Connections that are needed to judge whether the program has opened or accepted them."""
_SERVES = (HeldConnectionState.OPEN, HeldConnectionState.UNKNOWN)


class ReasonKind(Enum):
    """What explains that a task is alive; the value is a sentence about all tasks of a group."""

    OWNER = "the owner of each is open"
    CONNECTION = "each holds an open connection"
    OPENED = "each holds a connection that this program has opened"
    TIMER = "each waits for one timer and then ends"
    LONG_TIMER = "each waits for one timer of more than 15 minutes"
    PARENT = "each belongs to a living task of its own"
    TURN = "each waits for its turn behind tasks that end by themselves"

    @property
    def explains_growth(self) -> bool:
        """Whether it also explains that there are more and more such tasks: demand from outside, or
        tasks that end soon."""
        return self not in (ReasonKind.OPENED, ReasonKind.LONG_TIMER, ReasonKind.TURN)


class Reason(NamedTuple):
    """``ends_in_s``: seconds until the task ends by itself; None if that is not known.
    ``by``: the identity of the owner or connection: it explains one task or two, not a thousand.
    ``peer``: the address at the other end of the connection."""

    kind: ReasonKind
    ends_in_s: float | None = None
    by: int | None = None
    peer: str = ""

    @property
    def ends(self) -> bool:
        """Whether the task ends by itself."""
        return self.kind in (ReasonKind.TIMER, ReasonKind.LONG_TIMER)


def reasons(tasks: Iterable[TaskInfo], total: int = 0) -> list[Reason | None]:
    """For each task of a group, what explains that it is alive, if anything does.

    ``total``: how many tasks these stand for, if they are a sample.
    From any thread; never raises. Cost: 100 us each, and 150-180 bytes per link of its await chain that
    stay with the coroutine (chain.frame); so give it a sample.
    """
    found = [_possible(each) for each in tasks]
    own = _own(found, total)
    return _with_direction(
        [next((r for r in some if r.by is None or r in own), None) for some in found]
    )


def serving(tasks: Iterable[AnyTask | None], total: int = 0) -> int:
    """How many of these tasks hold an open connection of their own. ``total``: as for ``reasons``.

    From any thread; never raises. Cost: 20-330 us each.
    """
    found = [_connections(task) for task in tasks]
    own = _own(found, total)
    return sum(any(each in own for each in some) for some in found)


def most_frequent(found: Iterable[Reason | None]) -> Reason | None:
    """The most frequent kind of reason, with the longest time of that kind."""
    known = [each for each in found if each is not None]
    if not known:
        return None
    kind = Counter(each.kind for each in known).most_common(1)[0][0]
    times = [each.ends_in_s for each in known if each.kind is kind and each.ends_in_s is not None]
    return Reason(kind, max(times, default=None))


def _with_direction(found: list[Reason | None]) -> list[Reason | None]:
    """The reasons, with connections that the program has opened itself marked as such.

    Opened connections go to few peers. Each accepted one comes from a peer of its own, because the
    clients' ports differ."""
    peers = [each.peer for each in found if each is not None and each.peer]
    if len(peers) < MIN_DIRECTION or len(set(peers)) > len(peers) / 2:
        return found
    return [
        each._replace(kind=ReasonKind.OPENED) if each is not None and each.peer else each
        for each in found
    ]


def _possible(info: TaskInfo) -> list[Reason]:
    """What may explain a task, the strongest reason first."""
    try:
        task = task_of(info)
        if task is None or task.done():
            return []
        owner, timer = info.context.owner, _timer(task)
        is_owned = owner is not None and not is_orphan(info)
        return [
            *([Reason(ReasonKind.OWNER, by=id(owner))] if is_owned else []),
            *_connections(task),
            *([timer] if timer is not None else []),
        ]
    except Exception:  # noqa: BLE001 - objects of the program may raise anything
        return []


def _connections(task: AnyTask | None) -> list[Reason]:
    return [
        Reason(ReasonKind.CONNECTION, by=each.number, peer=each.peer)
        for each in connections(task)
        if each.state in _SERVES and each.number is not None
    ]


def _own(found: list[list[Reason]], total: int) -> set[Reason]:
    """The owners and connections that are a task's own: no more than MAX_SHARING tasks have each.

    A sample shows only some of the tasks that share an owner or connection. The more tasks share each,
    the more pairs of sampled tasks have the same one, so the number of pairs gives an estimate.
    """
    shared = Counter(each for some in found for each in some if each.by is not None)
    own: set[Reason] = set()
    for kind in (ReasonKind.OWNER, ReasonKind.CONNECTION):
        least = [
            min(
                (each for each in some if each in shared and each.kind is kind),
                key=lambda each: shared[each],
                default=None,
            )
            for some in found
        ]
        few = Counter(each for each in least if each is not None and shared[each] <= MAX_SHARING)
        pairs = sum(number == MAX_SHARING for number in few.values())
        tasks = few.total()
        stands_for = max(total, len(found)) * tasks / max(1, len(found))
        # Of all pairs in the sample, a share of others / (stands_for - 1) has the same one.
        others = pairs * (stands_for - 1) / (tasks * (tasks - 1) / 2) if pairs else 0.0
        if pairs < MIN_PAIRS or others <= MAX_SHARING - 1:
            own |= few.keys()
    return own


def _timer(task: AnyTask) -> Reason | None:
    """The timer at the end of its wait, if its functions go on for a bounded number of rounds.

    A sleep in a loop counts once for each round that is left.
    """
    links = chain.links(task.get_coro())
    own = [link for link in links if _is_of_program(link)]
    left = waits.timeout(links, task)
    sleep = waits.sleep(task)
    if (left is None and sleep is None) or calls_itself([chain.code(link) for link in own]):
        return None
    rounds = [rounds_left(link) for link in own]
    if sleep is not None:
        further = math.prod(1 + (each or 0) for each in rounds) - 1
        asleep = sleep.left_s + further * sleep.whole_s
        left = asleep if left is None else min(left, asleep)
    if left is None or None in rounds:
        return None
    return Reason(ReasonKind.LONG_TIMER if left > LONG_S else ReasonKind.TIMER, left)


def _is_of_program(link: Any) -> bool:
    """Whether it is not asyncio's own: its loops are known to end with what they wait for."""
    code = chain.code(link)
    return code is None or "/asyncio/" not in code.co_filename
