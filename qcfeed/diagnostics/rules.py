"""Rules that turn observations into findings with evidence; one function per rule. Pure.

The rules do not guess. A future that will never complete is reported only if no other object refers to it
(abandoned.py): one in a forgotten dict looks like one that will complete tomorrow.
An unretrieved exception is known only once the garbage collector has freed its task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from qcfeed.diagnostics import growth_rules, leak_rules
from qcfeed.diagnostics.findings import Certainty, Doubt, Finding
from qcfeed.diagnostics.observations import Observations, SuspectTasks
from qcfeed.diagnostics.watchdog import Stall

PROVED_AFTER_S = 5.0
"""Seconds after which a live orphan, or a live task that was cancelled twice, counts as proved."""
ABANDONED_AFTER_S = 30.0
"""Seconds after which a wait for an abandoned future counts as proved: the code that dropped the future
may be about to cancel the task."""
MIN_AGE_S = 1.0
"""Seconds for which a task must have had a symptom before it is reported: tasks may be about to end."""
RECENT_S = 3600.0
"""Seconds for which stalls, late wake-ups and unretrieved exceptions are reported."""
LONG_STALL_S = 1.0
"""Seconds from which a single stall counts as proved."""
MIN_REPEATS = 3
"""Stalls at one place; fewer short ones are no more than a reason to look again."""
STACK_LINES = 8
_CERTAINTIES = list(Certainty)
_LOOP_FRAME = "Handle._run"


def findings(seen: Observations) -> list[Finding]:
    """The findings of all rules, the most certain first. Cost: 0.2 ms per location with a full history."""
    found = [finding for rule in RULES for finding in rule(seen)]
    return sorted(found, key=lambda finding: _CERTAINTIES.index(finding.certainty))


def undecided(seen: Observations, found: Sequence[Finding]) -> list[Doubt]:
    """What leaves open whether all is well, one per location. ``found``: the findings; what they say is no doubt."""
    known = {each.location for each in found}
    doubts: dict[str, Doubt] = {}
    for doubt in (*leak_rules.undecided(seen), *growth_rules.undecided(seen)):
        if doubt.location not in known:
            doubts.setdefault(doubt.location, doubt)
    return list(doubts.values())


def incomplete(seen: Observations) -> Iterator[Finding]:
    """A ledger that does not see all tasks, so that the other rules may miss something."""
    for reason in seen.incomplete:
        yield Finding(
            "incomplete_ledger",
            Certainty.PROVED,
            reason,
            evidence=["all other findings cover only the tasks that the ledger sees"],
        )


def orphaned(seen: Observations) -> Iterator[Finding]:
    """Live tasks whose owner is gone."""
    what = ("task is", "tasks are"), "alive though the owner is gone"
    yield from (_judged("orphans", what, tasks) for tasks in seen.orphaned if _worth(tasks))


def stubborn(seen: Observations) -> Iterator[Finding]:
    """Tasks that were cancelled more than once and are still alive: they suppress the cancellation."""
    what = ("task was", "tasks were"), "cancelled more than once without ending"
    yield from (
        _judged("cancelled_in_vain", what, tasks) for tasks in seen.stubborn if _worth(tasks)
    )


def abandoned(seen: Observations) -> Iterator[Finding]:
    """Tasks that wait for a future that no other object refers to, so no code can complete it."""
    what = ("task waits", "tasks wait"), "for a future that no other object refers to"
    for tasks in seen.abandoned:
        if tasks.longest_s >= PROVED_AFTER_S:  # found at two snapshots
            yield _judged("abandoned_future", what, tasks, ABANDONED_AFTER_S)


def blocked(seen: Observations) -> Iterator[Finding]:
    """Code that blocked the loop, with its stack."""
    places: dict[str, list[Stall]] = {}
    for stall in seen.stalls:
        if seen.now - stall.began <= RECENT_S:
            places.setdefault(stall.place or (stall.stack[-1] if stall.stack else "?"), []).append(
                stall
            )
    for place, stalls in places.items():
        yield _blocked(place, stalls, seen.now)


def woken_late(seen: Observations) -> Iterator[Finding]:
    """A loop that waited for events although a timer was due. Never proved: it may be the machine."""
    late = [each for each in seen.late_wakeups if seen.now - each.began <= RECENT_S]
    if not late:
        return
    worst = max(late, key=lambda each: each.seconds)
    times = "once" if len(late) == 1 else f"{len(late)} times"
    yield Finding(
        "late_wakeup",
        Certainty.SUSPECTED,
        f"the loop was woken {worst.seconds:.1f} s late, {times}",
        evidence=[
            "it waited for events although a timer was due",
            "the machine is busy, or other threads of the process hold the interpreter",
        ],
        recheck_s=growth_rules.RECHECK_S,
        count=len(late),
        since_s=seen.now - min(each.began for each in late),
        worst_s=worst.seconds,
        ago_s=max(0.0, seen.now - max(each.began + each.seconds for each in late)),
    )


def destroyed(seen: Observations) -> Iterator[Finding]:
    """Tasks that were garbage collected while pending, because nothing referred to them."""
    for series in seen.series:
        # A location that appeared after the first snapshot started at zero.
        before = series.destroyed[0] if len(series.live) == len(seen.times) else 0
        count = series.destroyed[-1] - before
        if count > 0:
            yield Finding(
                "destroyed_pending",
                Certainty.PROVED,
                f"{_tasks(count)} destroyed while pending: nothing held a reference",
                series.location,
                [
                    f"spawned in {series.function}",
                    "keep the task that create_task() returns until it ends",
                ],
                count=count,
            )


def unretrieved(seen: Observations) -> Iterator[Finding]:
    """Exceptions of tasks that were never awaited or asked for their result."""
    for group in seen.unretrieved:
        ago = seen.now - group.last
        if ago <= RECENT_S:
            plural = "exception was" if group.count == 1 else "exceptions were"
            yield Finding(
                "exceptions_never_retrieved",
                Certainty.PROVED,
                f"{group.count:,} {plural} never retrieved",
                group.location,
                [f"the last {ago:.0f} s ago: {group.error}", "the program's log has the traceback"],
                count=group.count,
                ago_s=ago,
            )


RULES: Sequence[Callable[[Observations], Iterator[Finding]]] = (
    incomplete,
    orphaned,
    leak_rules.never_ending,
    leak_rules.without_limit,
    growth_rules.growing,
    growth_rules.untracked,
    stubborn,
    abandoned,
    blocked,
    woken_late,
    destroyed,
    unretrieved,
)


def _worth(tasks: SuspectTasks) -> bool:
    return tasks.longest_s >= MIN_AGE_S


def _judged(
    rule: str,
    what: tuple[tuple[str, str], str],
    tasks: SuspectTasks,
    proof_s: float = PROVED_AFTER_S,
) -> Finding:
    (one, many), rest = what
    return Finding(
        rule,
        Certainty.PROVED if tasks.proved else Certainty.SUSPECTED,
        f"{tasks.count:,} {one if tasks.count == 1 else many} {rest}",
        tasks.location,
        [f"task {tasks.serials[0]}: {tasks.evidence}"] if tasks.serials else [],
        tasks.serials,
        recheck_s=None if tasks.proved else proof_s,
        count=tasks.count,
        since_s=tasks.longest_s,
    )


def _blocked(place: str, stalls: Sequence[Stall], now: float) -> Finding:
    worst = max(stalls, key=lambda stall: stall.seconds)
    sure = worst.seconds >= LONG_STALL_S or len(stalls) >= MIN_REPEATS
    who = "a callback" if worst.serial is None else f"task {worst.serial} of {worst.location}"
    # The calls from the callback inwards: the loop's own frames around it are always the same.
    inner = worst.stack
    for number, line in enumerate(worst.stack):
        if _LOOP_FRAME in line:
            inner = worst.stack[number + 1 :]
    times = "once" if len(stalls) == 1 else f"{len(stalls)} times"
    return Finding(
        "blocked_loop",
        Certainty.PROVED if sure else Certainty.SUSPECTED,
        f"the loop was blocked for {worst.seconds:.1f} s, {times} at {place}",
        worst.location,
        [f"by {who}, {now - worst.began:.0f} s ago", *inner[-STACK_LINES:]],
        [] if worst.serial is None else [worst.serial],
        recheck_s=None if sure else 60.0,
        count=len(stalls),
        since_s=now - min(stall.began for stall in stalls),
        worst_s=worst.seconds,
        ago_s=max(0.0, now - max(stall.began + stall.seconds for stall in stalls)),
        place=place,
        source=worst.source,
    )


def _tasks(count: int) -> str:
    return "1 task was" if count == 1 else f"{count:,} tasks were"
