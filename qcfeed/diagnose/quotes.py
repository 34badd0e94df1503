"""Quotes that do not come: the upstream is down, or silent, for all symbols or for some."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from qcfeed.diagnose.evidence import Evidence
from qcfeed.formats import age, count, plural
from qcfeed.model import answers
from qcfeed.model.diagnosis import Certainty, Finding
from qcfeed.model.messages import Band, StaleReason

NAMED = 3
"""Symbols that a finding names."""
WANTED = "wanted"


def upstream(seen: Evidence) -> Iterator[Finding]:
    """No symbol gets quotes: it is where they come from, not a task."""
    wanted, silent = _wanted(seen), _silent(seen)
    if seen.status is None or not wanted:
        return
    down = not seen.status.upstream_connected
    if not (down or (silent and len(silent) == len(wanted))):
        return
    name = seen.status.upstream
    state = "is down" if down else "is silent"
    waiting = f"{plural(len(wanted), 'symbol')} {'waits' if len(wanted) == 1 else 'wait'}"
    yield Finding(
        rule="upstream",
        kind="UPSTREAM",
        certainty=Certainty.FOUND,
        urgency=88,
        headline=f"{name} {state}; {waiting}, {_readers(wanted)}",
        cause=f"the upstream {name} {state}: {waiting} for quotes, and it is not a leak"
        if _no_leak(seen)
        else f"the upstream {name} {state}: {waiting} for quotes",
        evidence=[*_ages(silent or wanted), *_upstream(seen), _tasks(seen)],
        began_s=min((each.age_s for each in silent if each.age_s is not None), default=None),
        count=len(wanted),
        safe="nothing to cancel: feeds try again by themselves; a restart brings no quotes",
        next=[f"{seen.command} feeds -o wide", f"{seen.command} report --bundle evidence.tar.gz"],
    )


def some(seen: Evidence) -> Iterator[Finding]:
    """Some symbols get no quotes while others do: those symbols are quiet, or their feeds fail."""
    wanted, silent = _wanted(seen), _silent(seen)
    if not silent or len(silent) == len(wanted):
        return
    dead = [each for each in silent if each.band != Band.STALE]
    named = ", ".join(each.symbol for each in silent[:NAMED])
    more = f" and {count(len(silent) - NAMED)} more" if len(silent) > NAMED else ""
    what = f"{count(len(silent))} of {plural(len(wanted), 'symbol')} without quotes: {named}{more}"
    yield Finding(
        rule="stale_symbols",
        kind="STALE",
        certainty=Certainty.FOUND
        if dead or any(each.failure for each in silent)
        else Certainty.LOOK_AGAIN,
        urgency=50,
        headline=what,
        cause=f"{what}; the upstream speaks of the others, so it is these symbols, not a leak",
        evidence=[*_ages(silent), *_upstream(seen)],
        began_s=min((each.age_s for each in silent if each.age_s is not None), default=None),
        count=len(silent),
        safe="a quiet symbol needs nothing; `feeds cancel SYMBOL` makes a feed begin anew",
        next=[f"{seen.command} feeds -o wide"],
    )


def own_lag(seen: Evidence) -> Iterator[Finding]:
    """Symbols that are stale because the service itself did not run."""
    late = [each for each in _stale(seen) if each.reason == StaleReason.OWN_LAG]
    if late:
        yield Finding(
            rule="own_lag",
            kind="STALE",
            certainty=Certainty.FOUND,
            urgency=55,
            headline=f"{plural(len(late), 'symbol')} stale by the service's own lag",
            cause=f"{plural(len(late), 'symbol')} stale: the service itself did not run in time",
            evidence=_ages(late),
            count=len(late),
            safe="nothing to cancel; look at what holds the loop or the machine up",
            next=[f"{seen.command} stacks"],
        )


def _wanted(seen: Evidence) -> list[answers.Feed]:
    return [each for each in seen.feeds if each.demand == WANTED]


def _stale(seen: Evidence) -> list[answers.Feed]:
    stale = [each for each in _wanted(seen) if each.band != Band.LIVE]
    return sorted(stale, key=lambda each: -(each.age_s or 0.0))


def _silent(seen: Evidence) -> list[answers.Feed]:
    return [each for each in _stale(seen) if each.reason != StaleReason.OWN_LAG]


def _no_leak(seen: Evidence) -> bool:
    return not any(seen.orphaned())


def _readers(feeds: Sequence[answers.Feed]) -> str:
    return plural(sum(each.subscribers for each in feeds), "subscriber") + " with them"


def _ages(feeds: Sequence[answers.Feed]) -> list[str]:
    bands = Counter(each.band for each in feeds)
    lines = [", ".join(f"{count(n)} {band.replace('_', ' ')}" for band, n in bands.most_common())]
    aged = [each for each in feeds if each.age_s is not None]
    if aged:
        oldest = max(aged, key=lambda each: each.age_s or 0.0)
        lines.append(f"the oldest quote is {oldest.symbol}'s, {age(oldest.age_s or 0.0)} old")
    never = len(feeds) - len(aged)
    if never:
        lines.append(f"{plural(never, 'symbol')} never had a quote")
    return lines


def _upstream(seen: Evidence) -> Iterator[str]:
    if seen.status is not None:
        connected = "connected" if seen.status.upstream_connected else "not connected"
        reconnects = plural(seen.status.upstream_reconnects, "reconnect")
        yield f"{connected}, {reconnects}, {plural(seen.status.upstream_gaps, 'gap')}"
    failures = Counter(each.failure for each in seen.feeds if each.failure)
    yield from (f"{text} ({plural(n, 'feed')})" for text, n in failures.most_common(1))


def _tasks(seen: Evidence) -> str:
    net = seen.after.totals.live - seen.before.totals.live
    orphans = sum(now for _, _, now in seen.orphaned())
    return (
        f"tasks: {count(seen.after.totals.live)} live, {net:+,} in {age(seen.seconds)},"
        f" {count(orphans)} orphaned"
    )
