"""Tasks that should not be there: those that serve nobody, and those that only get more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from qcfeed.diagnose import memory
from qcfeed.diagnose.evidence import Evidence
from qcfeed.formats import age, count, plural, size
from qcfeed.model import answers
from qcfeed.model.answers import Orphan
from qcfeed.model.diagnosis import Certainty, Finding

LEAST_RATE = 1.0
"""Net tasks a minute from which a location grows; a look that is short sees no less."""
SUBSCRIBER = "subscriber "
"""How an owner begins whose tasks send to somebody: feed/log.py names itself so."""


def zombies(seen: Evidence) -> Iterator[Finding]:
    """Tasks whose owner is gone. Known to ignore it: what woke since, and sleeps again."""
    for location, before, now in seen.orphaned():
        told = next((each for each in seen.told("orphans") if each.location == location), None)
        if told is not None or seen.findings is None:
            yield _zombies(seen, location, now - before, now, told)


def growing(seen: Evidence) -> Iterator[Finding]:
    """A location that gets more and more tasks, whose owners, as far as is known, are alive."""
    for told in seen.told("growing"):
        row = seen.row(told.location)
        rate = told.per_minute or 0.0
        left = memory.time_left(seen, tasks_per_minute=rate)
        yield Finding(
            rule="growing",
            kind="GROWTH",
            certainty=Certainty(told.certainty),
            urgency=70,
            headline=f"tasks from {told.location} grow by {_rate(rate)} a minute",
            cause=f"tasks spawned at {told.location} grow by {_rate(rate)} a minute; their owners are"
            " alive or unknown: more demand, or a leak",
            location=told.location,
            source=_source(row),
            evidence=[told.summary, *told.evidence, *_waiting(row), *_until(seen, left)],
            began_s=told.since_s,
            left_s=None if left is None else left.seconds,
            per_minute=rate,
            count=told.count,
            safe="nothing is proved to be superfluous: look at what they wait on before cancelling any",
            next=[
                f"{seen.command} tasks --waits",
                f"{seen.command} tasks --site {told.location} --limit 20",
            ],
        )


def _zombies(
    seen: Evidence, location: str, more: int, now: int, told: answers.Finding | None
) -> Finding:
    rate = _per_minute(seen, location, more)
    grows = rate >= LEAST_RATE
    row = seen.row(location)
    after = seen.orphans_of(location)
    woke = _woke(after)
    serve = f"{plural(now, 'task')} from {location} {'serves' if now == 1 else 'serve'} nobody"
    left = memory.time_left(seen, tasks_per_minute=rate) if grows else None
    pace = f" grow by {_rate(rate)} a minute and serve nobody" if grows else " serve nobody"
    return Finding(
        rule="zombies",
        kind="LEAK",
        certainty=Certainty(told.certainty) if told else Certainty.PROVED,
        urgency=90 if grows else 75,
        headline=serve,
        cause=f"tasks spawned at {location}{pace}: {_why(after, woke, row)}",
        location=location,
        source=_source(row),
        evidence=[*_proof(seen, location, now, more, after, woke, told), *_until(seen, left)],
        began_s=_began(after, told),
        left_s=None if left is None else left.seconds,
        per_minute=rate,
        count=now,
        safe="`orphans --reap` cancels exactly these; who is subscribed loses nothing",
        next=[f"{seen.command} orphans --reap"],
    )


def _per_minute(seen: Evidence, location: str, more: int) -> float:
    """By the history where it has seen them grow, else between the two looks."""
    remembered = (each.per_minute for each in seen.told("growing") if each.location == location)
    lately = more * 60 / seen.seconds if seen.seconds else 0.0
    return max(lately, next((rate for rate in remembered if rate), 0.0))


def _woke(orphans: Sequence[Orphan]) -> tuple[int, int]:
    """How many orphans began to sleep when their owner was gone already, so they woke since and
    went on; and of how many that can be told."""
    known = [(each.owner_gone_s, each.sleeping_s) for each in orphans]
    told = [(gone, slept) for gone, slept in known if gone is not None and slept is not None]
    return sum(slept < gone for gone, slept in told), len(told)


def _why(orphans: Sequence[Orphan], woke: tuple[int, int], row: answers.Location | None) -> str:
    """What they do in place of ending, as far as it is known."""
    if woke[0] and any(each.owner.startswith(SUBSCRIBER) for each in orphans):
        return "they ignore failed sends"
    if woke[0]:
        return "they wake, and go on although their owner is gone"
    waits = row.waits if row is not None and row.waits is not msgspec.UNSET else []
    if waits and waits[0].state not in ("sleeping", "ready", "running"):
        return f"they wait ({waits[0].state}) for what their owner would have sent"
    return "they live on although their owner is gone"


def _proof(
    seen: Evidence,
    location: str,
    now: int,
    more: int,
    orphans: Sequence[Orphan],
    woke: tuple[int, int],
    told: answers.Finding | None,
) -> Iterator[str]:
    row = seen.row(location)
    live = row.live if row is not None else now
    yield (
        f"{count(now)} of its {plural(live, 'live task')} have lost their owner;"
        f" {more:+,} in {age(seen.seconds)}"
    )
    if told is not None and told.evidence:
        yield told.evidence[0]
    elif orphans:
        yield f"task {orphans[0].serial}: {orphans[0].reason}"
    if woke[0]:
        yield f"{count(woke[0])} of {count(woke[1])} looked at woke since, and went to sleep again"
    yield from _waiting(row)


def _waiting(row: answers.Location | None) -> Iterator[str]:
    if row is not None and row.waits is not msgspec.UNSET and row.waits:
        most = row.waits[0]
        sampled = "" if row.sampled is msgspec.UNSET else f" of {count(row.sampled)} looked at"
        yield f"they wait: {most.state} ({count(most.count)}{sampled})"


def _began(orphans: Sequence[Orphan], told: answers.Finding | None) -> float | None:
    gone = [each.owner_gone_s for each in orphans if each.owner_gone_s is not None]
    if told is not None and told.since_s is not None:
        gone.append(told.since_s)
    return max(gone, default=None)


def _until(seen: Evidence, left: memory.Left | None) -> Iterator[str]:
    if left is not None and seen.memory is not None:
        yield f"{age(left.seconds)} until {size(seen.memory.limit_bytes)} of memory: {left.at}"


def _source(row: answers.Location | None) -> str:
    return row.source if row is not None and row.source is not msgspec.UNSET else ""


def _rate(per_minute: float) -> str:
    return f"{per_minute:,.0f}" if per_minute >= 10 else f"{per_minute:.1f}"
