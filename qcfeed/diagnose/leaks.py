"""Tasks that should not be there: orphaned tasks, tasks that never end, and locations whose tasks keep
growing in number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from qcfeed.diagnose import memory
from qcfeed.diagnose.evidence import Evidence
from qcfeed.diagnostics.findings import Certainty, Finding
from qcfeed.diagnostics.locations import site_option
from qcfeed.formats import age, count, plural, size, time_left
from qcfeed.model.diagnosis import DiagnosisFinding
from qcfeed.model.orphans import Orphan
from qcfeed.model.tasks import Location

MIN_GROWTH_PER_MINUTE = 1.0
"""Net new tasks per minute from which a location counts as growing."""
HOUR_S, DAY_S = 3_600.0, 86_400.0
SUBSCRIBER = "subscriber "
"""Prefix of an owner that is a subscriber; feed/subscriber.py writes it."""


def orphaned_tasks(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """Locations with tasks whose owner is gone.

    The rule of diagnostics/rules.py decides which orphans count, because a feed that is closing has one for
    a moment. If those findings could not be read, every orphan is reported.
    """
    for location, before, now in evidence.orphaned():
        ledger_finding = next(
            (each for each in evidence.ledger_findings("orphans") if each.location == location),
            None,
        )
        if ledger_finding is not None or evidence.findings is None:
            yield _orphaned(evidence, location, now - before, now, ledger_finding)


def never_ending_tasks(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """Locations whose tasks do not end, without an explanation.

    Locations with orphans are left out: the finding about orphans is about the same tasks.
    """
    orphaned = {location for location, _, now in evidence.orphaned() if now}
    for found in evidence.ledger_findings("never_ending"):
        if found.location not in orphaned:
            yield _never_ending(evidence, found)


def _never_ending(evidence: Evidence, found: Finding) -> DiagnosisFinding:
    certainty = Certainty(found.certainty)
    row, rate = evidence.row(found.location), found.per_minute or 0.0
    left = memory.time_to_limit(evidence, tasks_per_minute=rate)
    first, *more = found.evidence or [""]
    return DiagnosisFinding(
        rule="never_ending",
        kind="LEAK" if certainty is Certainty.PROVED else "LEAK?",
        certainty=certainty,
        urgency=_urgency(85, left),
        headline=f"{plural(found.count, 'task')} from {found.location} do not end",
        cause=f"tasks spawned at {found.location} do not end and grow by {_rate(rate)} per minute: {first}",
        location=found.location,
        source=_source(row),
        evidence=[
            found.summary,
            *more,
            "no owner, connection, timer or parent of their own explains them",
            *_until_limit(evidence, left),
        ],
        began_s=found.since_s,
        left_s=None if left is None else left.seconds,
        left_most_s=None if left is None else left.most,
        per_minute=rate,
        count=found.count,
        safe="the code must end these tasks; look at what they wait for before you cancel any",
        next=[
            f"{evidence.command} tasks {site_option(found.location)} --limit 20",
            f"{evidence.command} tasks --by object {site_option(found.location)}",
            f"{evidence.command} tasks cancel {site_option(found.location)}",
        ],
    )


def growing_locations(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """Locations whose live tasks keep growing in number. Suspected only, because rising demand looks the same."""
    for observed in evidence.ledger_findings("growing"):
        row = evidence.row(observed.location)
        rate = observed.per_minute or 0.0
        left = memory.time_to_limit(evidence, tasks_per_minute=rate)
        yield DiagnosisFinding(
            rule="growing",
            kind="GROWING",
            certainty=Certainty(observed.certainty),
            urgency=70,
            headline=f"tasks from {observed.location} grow by {_rate(rate)} per minute",
            cause=f"tasks spawned at {observed.location} grow by {_rate(rate)} per minute",
            location=observed.location,
            source=_source(row),
            evidence=[
                observed.summary,
                "their owners are open or unknown: more demand, or a leak",
                *observed.evidence,
                *_waiting(row),
                *_until_limit(evidence, left),
            ],
            began_s=observed.since_s,
            left_s=None if left is None else left.seconds,
            left_most_s=None if left is None else left.most,
            per_minute=rate,
            count=observed.count,
            safe="no task is proved to be orphaned: check what they wait on before you cancel any",
            next=[
                f"{evidence.command} tasks --waits",
                f"{evidence.command} tasks {site_option(observed.location)} --limit 20",
            ],
        )


def _orphaned(
    evidence: Evidence, location: str, more: int, now: int, ledger_finding: Finding | None
) -> DiagnosisFinding:
    rate = _per_minute(evidence, location, more)
    grows = rate >= MIN_GROWTH_PER_MINUTE
    row = evidence.row(location)
    listed = evidence.orphans_of(location)
    ran = _ran_since_owner_left(listed)
    left = memory.time_to_limit(evidence, tasks_per_minute=rate) if grows else None
    growth = f" and grow by {_rate(rate)} per minute" if grows else ""
    return DiagnosisFinding(
        rule="zombies",
        kind="LEAK",
        certainty=Certainty(ledger_finding.certainty) if ledger_finding else Certainty.PROVED,
        urgency=_urgency(90, left) if grows else 75,
        headline=f"{plural(now, 'task')} from {location} {'is' if now == 1 else 'are'} orphaned",
        cause=f"tasks spawned at {location} are orphaned{growth}: {_why(listed, ran, row)}",
        location=location,
        source=_source(row),
        evidence=[
            *_proof(evidence, location, now, more, listed, ran, ledger_finding),
            *_until_limit(evidence, left),
        ],
        began_s=_began(listed, ledger_finding),
        left_s=None if left is None else left.seconds,
        left_most_s=None if left is None else left.most,
        per_minute=rate,
        count=now,
        safe="`orphans --reap` cancels exactly these tasks; current subscribers are not affected"
        + (f"; the leak continues until {location} is fixed" if grows else ""),
        next=[f"{evidence.command} orphans --reap"],
    )


def _urgency(most: int, left: memory.TimeToLimit | None) -> int:
    """The less time a leak leaves, the more urgent it is; ``most`` is the urgency within the last hour."""
    if left is None:
        return most - 8
    return most if left.seconds < HOUR_S else most - 8 if left.seconds < DAY_S else most - 15


def _per_minute(evidence: Evidence, location: str, more: int) -> float:
    """The faster of two rates: that of the history, and that between the two snapshots."""
    in_history = (
        each.per_minute for each in evidence.ledger_findings("growing") if each.location == location
    )
    in_window = more * 60 / evidence.seconds if evidence.seconds else 0.0
    return max(in_window, next((rate for rate in in_history if rate), 0.0))


def _ran_since_owner_left(orphans: Sequence[Orphan]) -> tuple[int, int]:
    """How many orphans have run since their owner was gone, and of how many this is known.

    If a task's current sleep began after its owner was gone, the task has run since then.
    """
    times = [(each.owner_gone_s, each.sleeping_s) for each in orphans]
    known = [(gone, slept) for gone, slept in times if gone is not None and slept is not None]
    return sum(slept < gone for gone, slept in known), len(known)


def _of_subscribers(orphans: Sequence[Orphan]) -> bool:
    return any(each.owner.startswith(SUBSCRIBER) for each in orphans)


def _why(orphans: Sequence[Orphan], ran: tuple[int, int], row: Location | None) -> str:
    """What the tasks are known to do instead of ending."""
    if ran[0] and _of_subscribers(orphans):
        return "they ignore failed sends"
    if ran[0]:
        return "they keep running although their owner is gone"
    waits = row.waits if row is not None and row.waits is not msgspec.UNSET else []
    if waits and waits[0].state not in ("sleeping", "ready", "running"):
        return f"they wait ({waits[0].state}) for something that their owner would have sent"
    return "they stay alive although their owner is gone"


def _proof(
    evidence: Evidence,
    location: str,
    now: int,
    more: int,
    orphans: Sequence[Orphan],
    ran: tuple[int, int],
    ledger_finding: Finding | None,
) -> Iterator[str]:
    row = evidence.row(location)
    live = row.live if row is not None else now
    yield (
        f"{count(now)} of {plural(live, 'live task')} from this location"
        f" {'is' if now == 1 else 'are'} orphaned; {more:+,} in {age(evidence.seconds)}"
    )
    if ledger_finding is not None and ledger_finding.evidence:
        yield ledger_finding.evidence[0]
    elif orphans:
        yield f"task {orphans[0].serial}: {orphans[0].reason}"
    if ran[0]:
        since = "their subscriber left" if _of_subscribers(orphans) else "their owner closed"
        yield f"{count(ran[0])} of {count(ran[1])} sampled tasks have run since {since}"
    yield from _waiting(row)


def _waiting(row: Location | None) -> Iterator[str]:
    if row is not None and row.waits is not msgspec.UNSET and row.waits:
        most = row.waits[0]
        sampled = "" if row.sampled is msgspec.UNSET else f" of {count(row.sampled)} sampled"
        yield f"most common wait: {most.state} ({count(most.count)}{sampled})"


def _began(orphans: Sequence[Orphan], ledger_finding: Finding | None) -> float | None:
    gone = [each.owner_gone_s for each in orphans if each.owner_gone_s is not None]
    if ledger_finding is not None and ledger_finding.since_s is not None:
        gone.append(ledger_finding.since_s)
    return max(gone, default=None)


def _until_limit(evidence: Evidence, left: memory.TimeToLimit | None) -> Iterator[str]:
    if left is not None and evidence.memory is not None:
        limit = size(evidence.memory.limit_bytes)
        # time_left() also rounds, and says "more than 7 days"; only its last word does not fit here.
        yield f"{time_left(left.seconds)[: -len(' left')]} until memory reaches {limit}: {left.rate}"


def _source(row: Location | None) -> str:
    return row.source if row is not None and row.source is not msgspec.UNSET else ""


def _rate(per_minute: float) -> str:
    return f"{per_minute:,.0f}" if per_minute >= 10 else f"{per_minute:.1f}"
