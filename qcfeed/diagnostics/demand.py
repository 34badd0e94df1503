"""Why a task may live for long in a sound program: reasons that can be seen from outside.

Tasks that do not end are a leak unless something explains them. A reason says when or by what the task
will end: its owner, the peer of its connection, or a timer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import Enum
from typing import Any, NamedTuple

from qcfeed.diagnostics import chain, waits
from qcfeed.diagnostics.connections import ConnectionState, connections
from qcfeed.diagnostics.loops_in_code import Bounds, bounds
from qcfeed.diagnostics.orphans import is_orphan
from qcfeed.diagnostics.site import AnyTask
from qcfeed.diagnostics.task_info import TaskInfo, task_of

LONG_S = 900.0
"""Seconds; a timer that ends later explains a task, but not that more and more of them are created."""
MAX_SHARING = 2
"""Examined tasks that one owner or connection explains. More only share it."""
MIN_DIRECTION = 4
"""Connections from which it is told whether the program has opened or accepted them."""
_SERVES = (ConnectionState.OPEN, ConnectionState.UNKNOWN)


class Kind(Enum):
    """What explains that a task is alive; the value is a sentence about all tasks of a group."""

    OWNER = "the owner of each is open"
    CONNECTION = "each holds an open connection"
    OPENED = "each holds a connection that this program has opened"
    TIMER = "each waits for one timer and then ends"
    LONG_TIMER = "each waits for one timer of more than 15 minutes"
    PARENT = "each belongs to a living task of its own"

    @property
    def explains_growth(self) -> bool:
        """Whether it also explains that there are more and more such tasks: demand from outside, or
        tasks that end soon."""
        return self not in (Kind.OPENED, Kind.LONG_TIMER)


class Reason(NamedTuple):
    """``ends_in_s``: seconds until the task ends by itself; None if that is not known.
    ``by``: the identity of the owner or connection: it explains one task or two, not a thousand.
    ``peer``: the address at the other end of the connection."""

    kind: Kind
    ends_in_s: float | None = None
    by: int | None = None
    peer: str = ""


def reasons(tasks: Iterable[TaskInfo]) -> list[Reason | None]:
    """For each task of a group, what explains that it is alive, if anything does.

    From any thread; never raises. Cost: 100 us each, and 150-180 bytes per link of its await chain that
    stay with the coroutine (chain.frame); so give it a sample.
    """
    found = _with_direction([_reason(each) for each in tasks])
    shared = Counter((each.kind, each.by) for each in found if each is not None)
    return [
        None if each is None or (each.by and shared[each.kind, each.by] > MAX_SHARING) else each
        for each in found
    ]


def serving(tasks: Iterable[AnyTask | None]) -> int:
    """How many of these tasks hold an open connection that no more than MAX_SHARING of them hold.

    From any thread; never raises. Cost: 20-330 us each.
    """
    held = [
        next((each.number for each in connections(task) if each.state in _SERVES), None)
        for task in tasks
    ]
    shared = Counter(held)
    return sum(each is not None and shared[each] <= MAX_SHARING for each in held)


def most_frequent(found: Iterable[Reason | None]) -> Reason | None:
    """The most frequent kind of reason, with the longest time of that kind."""
    known = [each for each in found if each is not None]
    if not known:
        return None
    kind = Counter(each.kind for each in known).most_common(1)[0][0]
    times = [each.ends_in_s for each in known if each.kind is kind and each.ends_in_s is not None]
    return Reason(kind, max(times, default=None))


def _with_direction(found: list[Reason | None]) -> list[Reason | None]:
    """Connections that the program has opened go to a few peers. Each one that it has accepted comes from
    a peer of its own, because the clients' ports differ."""
    peers = [each.peer for each in found if each is not None and each.peer]
    if len(peers) < MIN_DIRECTION or len(set(peers)) > len(peers) / 2:
        return found
    return [
        each._replace(kind=Kind.OPENED) if each is not None and each.peer else each
        for each in found
    ]


def _reason(info: TaskInfo) -> Reason | None:
    try:
        task = task_of(info)
        if task is None or task.done():
            return None
        owner = info.context.owner
        if owner is not None and not is_orphan(info):
            return Reason(Kind.OWNER, by=id(owner))
        held = next((each for each in connections(task) if each.state in _SERVES), None)
        if held is not None:
            return Reason(Kind.CONNECTION, by=held.number, peer=held.peer)
        return _timer(task)
    except Exception:  # noqa: BLE001 - objects of the program may raise anything
        return None


def _timer(task: AnyTask) -> Reason | None:
    """The timer at the end of its wait, if its functions go on for a bounded number of rounds."""
    links = chain.links(task.get_coro())
    left = waits.timeout(links, task)
    sleep = waits.sleep(task)
    if sleep is not None:
        left = sleep.left_s if left is None else min(left, sleep.left_s)
    if left is None or any(
        bounds(link) is Bounds.UNKNOWN for link in links if _is_of_program(link)
    ):
        return None
    return Reason(Kind.LONG_TIMER if left > LONG_S else Kind.TIMER, left)


def _is_of_program(link: Any) -> bool:
    """Whether it is not asyncio's own: its loops are known to end with what they wait for."""
    code = chain.code(link)
    return code is None or "/asyncio/" not in code.co_filename
