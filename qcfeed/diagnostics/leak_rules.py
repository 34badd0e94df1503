"""The rule that finds leaks in programs that declare no owners, from which tasks survive. Pure.

A group of tasks is suspected if tasks keep being created and none of the unusually old ones ends. It is
cleared if something explains that they live: an owner, a connection, a timer, or a living parent per
task. The rest is reported with the number of ends that a healthy program would have shown.
"""

from __future__ import annotations

from collections.abc import Iterator

from qcfeed.diagnostics.demand import ReasonKind
from qcfeed.diagnostics.findings import Certainty, Doubt, Finding
from qcfeed.diagnostics.object_rows import ObjectRow
from qcfeed.diagnostics.observations import Observations, Survivors
from qcfeed.diagnostics.survival import FEW, NEEDED, NEEDED_UNKNOWN

PROVED_FROM = 300
"""A leak counts as proved from this many unexplained tasks and expected ends on, if it is known how long
sound tasks of the group take."""
_MAX_CHILDREN = 3


def never_ending(seen: Observations) -> Iterator[Finding]:
    """Tasks that nothing explains and of which none, or hardly any, ends."""
    for tasks, children in _accused(seen):
        yield _finding(tasks, children)


def without_limit(seen: Observations) -> Iterator[Finding]:
    """Groups that keep growing, although each task has a reason to live: it waits for a distant timer, or
    holds a connection that the program itself has opened."""
    for tasks in seen.survivors:
        reason = tasks.reason
        if tasks.unexplained or reason is None or reason.kind.explains_growth:
            continue
        rate = tasks.survival.per_minute
        evidence = []
        if reason.ends_in_s is not None:
            more = rate * reason.ends_in_s / 60
            evidence = [f"about {more:,.0f} will be alive before the first timer ends"]
        yield Finding(
            "growing",
            Certainty.SUSPECTED,
            f"{rate:,.0f} more tasks per minute: {reason.kind.value}",
            tasks.location,
            evidence,
            tasks.serials,
            count=tasks.live,
            per_minute=rate,
            since_s=tasks.survival.oldest_s,
        )


def explained(seen: Observations) -> Iterator[str]:
    """Growth that is explained, one sentence per location: no finding."""
    accused = [id(each) for tasks, children in _accused(seen) for each in (tasks, *children)]
    for tasks in seen.survivors:
        rate = f"{tasks.live:,} live, {tasks.survival.per_minute:+,.0f} per minute"
        if id(tasks) in accused:
            continue
        if tasks.parents is not None:
            parents = tasks.parents.location
            yield f"{tasks.location}: {rate}; {ReasonKind.PARENT.value}, created at {parents}"
        elif tasks.reason is not None and tasks.reason.kind.explains_growth:
            yield f"{tasks.location}: {rate}; {tasks.reason.kind.value}"
    if seen.untracked.are_explained and seen.untracked.counts[-1:] != [0]:
        yield f"{seen.untracked.counts[-1]:,} untracked tasks: {ReasonKind.CONNECTION.value}"
    known = {tasks.location for tasks in seen.survivors}
    for location, why in seen.explained.items():
        if location not in known:
            yield f"{location}: {why.text}"


def undecided(seen: Observations) -> Iterator[Doubt]:
    """Tasks that do not end so far, without an explanation, and too few to accuse."""
    accused = [id(each) for tasks, children in _accused(seen) for each in (tasks, *children)]
    some = [each for each in seen.survivors if each.unexplained >= FEW.old]
    some += [each for each in seen.early if _is_open(each)]
    for tasks in some:
        if id(tasks) not in accused and _first_of(tasks, some) is tasks:
            number = tasks.unexplained or tasks.survival.old
            yield Doubt(
                tasks.location,
                f"{number:,} tasks have not ended so far, too few to judge;"
                f" {tasks.survival.per_minute:,.1f} more per minute",
            )


def _is_open(tasks: Survivors) -> bool:
    """Whether enough of a group is unexplained, or what explains it sets no limit to its number."""
    if tasks.unexplained:
        return tasks.unexplained >= FEW.old
    return tasks.reason is not None and not tasks.reason.kind.explains_growth


def _accused(seen: Observations) -> list[tuple[Survivors, list[Survivors]]]:
    """Groups with enough unexplained tasks, each with those that belong to it."""
    enough = [each for each in seen.survivors if each.unexplained >= _needed(each)]
    found: dict[int, tuple[Survivors, list[Survivors]]] = {}
    for tasks in enough:
        first = _first_of(tasks, enough)
        if first is not None:
            children = found.setdefault(id(first), (first, []))[1]
            children += [] if tasks is first else [tasks]
    return list(found.values())


def _first_of(tasks: Survivors, enough: list[Survivors]) -> Survivors | None:
    """The topmost group that a group belongs to: that of its parents, of their parents, and so on.

    None if the parents do end, because they then end these tasks too. In a ring of groups that spawn each
    other's tasks, the one with most unexplained tasks is the topmost.
    """
    passed: list[Survivors] = []
    while tasks.parents is not None:
        passed.append(tasks)
        wanted = tasks.parents
        above = next((e for e in enough if (e.location, e.coroutine) == wanted), None)
        if above is None:
            return None
        ring = next((passed[place:] for place, each in enumerate(passed) if each is above), None)
        if ring is not None:
            return min(ring, key=lambda each: (-each.unexplained, each.location, each.coroutine))
        tasks = above
    return tasks


def _needed(tasks: Survivors) -> int:
    return (NEEDED if tasks.survival.is_known else NEEDED_UNKNOWN).old


def _finding(tasks: Survivors, children: list[Survivors]) -> Finding:
    seen = tasks.survival
    share = tasks.unexplained / seen.old
    ended = "none" if not seen.ended else f"only {seen.ended:,}"
    return Finding(
        "never_ending",
        Certainty.PROVED if _is_proved(tasks, share) else Certainty.LIKELY,
        f"{tasks.unexplained:,} tasks do not end: of those older than {seen.age_s:.0f} s,"
        f" {ended} ended in the last {seen.window_s:.0f} s",
        tasks.location,
        [
            *_waits(tasks),
            _expected(tasks, share),
            f"they run {tasks.coroutine} ({tasks.defined_at}); {seen.per_minute * share:,.0f} more per minute",
            *_explained(tasks),
            *(
                f"each has a task of its own, created at {each.location}, that does not end either"
                for each in children[:_MAX_CHILDREN]
            ),
        ],
        tasks.serials,
        count=tasks.unexplained,
        per_minute=seen.per_minute * share,
        since_s=seen.oldest_s,
    )


def _is_proved(tasks: Survivors, share: float) -> bool:
    """Whether nobody can wake the tasks, or more of them survive than known lifetimes allow."""
    seen = tasks.survival
    nobody_wakes = tasks.unwakeable == tasks.examined > 0
    deadlock = tasks.shared is not None and tasks.shared.path.deadlock
    many = min(tasks.unexplained, seen.expected * share) >= PROVED_FROM
    return nobody_wakes or deadlock or (seen.is_known and seen.ended == 0 and many)


def _expected(tasks: Survivors, share: float) -> str:
    seen = tasks.survival
    expected = f"sound tasks of that age would have ended {seen.expected * share:,.0f} times"
    if seen.is_known and seen.usual_s is not None:
        return f"others of this coroutine end after {_seconds(seen.usual_s)}; {expected}"
    return f"hardly any task created here has ever ended; {expected}"


def _waits(tasks: Survivors) -> Iterator[str]:
    of = f"of {tasks.examined:,} examined"
    if tasks.unwakeable == tasks.examined > 0:
        yield f"nobody can wake them: nothing else refers to what they wait for ({tasks.waits[0][0]})"
    elif tasks.shared is not None:
        yield f"they wait for one {tasks.shared.object}{_held(tasks.shared)}"
    elif tasks.waits:
        kind, number = tasks.waits[0]
        yield f"most common wait: {kind} ({number:,} {of})"
    if 0 < tasks.unwakeable < tasks.examined:
        yield f"nobody can wake {tasks.unwakeable:,} {of}: nothing else refers to what they wait for"
    if tasks.hung_up:
        yield f"{tasks.hung_up:,} {of} hold a connection that the peer has closed"


def _held(row: ObjectRow) -> str:
    """The holder of the object and what that waits on; without a known holder, the object's state."""
    if row.holder:
        return f", {row.holder}"
    return f"; {row.object.state}" if row.object.state else ""


def _explained(tasks: Survivors) -> Iterator[str]:
    others = tasks.survival.old - tasks.unexplained
    if others > 0 and tasks.reason is not None:
        who = "1 other of that age is" if others == 1 else f"{others:,} others of that age are"
        yield f"{who} explained: {tasks.reason.kind.value}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
