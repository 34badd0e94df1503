"""Missing quotes: the upstream is down or silent, or some symbols get no quotes."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence

from qcfeed import rfc3339
from qcfeed.diagnose.evidence import Evidence
from qcfeed.diagnostics.findings import Certainty
from qcfeed.formats import age, count, plural
from qcfeed.model.diagnosis import DiagnosisFinding
from qcfeed.model.feeds import FeedStatus
from qcfeed.model.messages import Band, StaleReason
from qcfeed.model.status import ServiceStatus

MAX_NAMED = 3
"""Symbols that a finding names."""
MOST = 0.9
"""Share of the symbols whose timestamps must be wrong by the same time."""
WANTED = "wanted"


def upstream(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """No symbol gets quotes: the upstream is down or silent."""
    wanted, silent = _wanted(evidence), _silent(evidence)
    if evidence.status is None or not wanted:
        return
    down = not evidence.status.upstream_connected
    if not (down or (silent and len(silent) == len(wanted))):
        return
    name = evidence.status.upstream
    invalid = [each for each in silent if each.invalid_ticks]
    state = "is down" if down else "sends only invalid quotes" if invalid else "is silent"
    waiting = f"{plural(len(wanted), 'symbol')} {'waits' if len(wanted) == 1 else 'wait'}"
    yield DiagnosisFinding(
        rule="upstream",
        kind="UPSTREAM",
        certainty=Certainty.PROVED,
        urgency=88,
        headline=f"{name} {state}; {waiting} for quotes, with {_subscribers(wanted)}",
        cause=f"the upstream {name} {state}: {waiting} for quotes"
        + ("" if any(evidence.orphaned()) else "; no task is orphaned, so this is not a leak"),
        evidence=[*_ages(silent or wanted), *_connection(evidence), _tasks(evidence)],
        # Since the last quote of any symbol.
        began_s=min((each.age_s for each in silent if each.age_s is not None), default=None),
        count=len(wanted),
        safe="nothing to cancel: feeds reconnect by themselves, and a restart brings no quotes",
        next=[
            f"{evidence.command} feeds -o wide",
            f"{evidence.command} report --bundle evidence.tar.gz",
        ],
        runbook=_page(evidence.status) if down else "QcfeedQuotesStale",
    )


def stale_symbols(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """Some symbols get no quotes while others do: their markets are quiet, or their feeds fail."""
    wanted, silent = _wanted(evidence), _silent(evidence)
    if not silent or len(silent) == len(wanted):
        return
    dead = [each for each in silent if each.band != Band.STALE]
    named = ", ".join(each.symbol for each in silent[:MAX_NAMED])
    more = f" and {count(len(silent) - MAX_NAMED)} more" if len(silent) > MAX_NAMED else ""
    verb = "has" if len(silent) == 1 else "have"
    counted = f"{count(len(silent))} of {plural(len(wanted), 'symbol')}"
    what = f"{counted} {verb} no recent quotes: {named}{more}"
    yield DiagnosisFinding(
        rule="stale_symbols",
        kind="STALE",
        certainty=Certainty.PROVED
        if dead or any(each.failure for each in silent)
        else Certainty.SUSPECTED,
        urgency=50,
        headline=what,
        cause=f"{what}; other symbols get quotes, so neither the upstream nor a leak is the cause",
        evidence=[*_ages(silent), *_connection(evidence)],
        began_s=min((each.age_s for each in silent if each.age_s is not None), default=None),
        count=len(silent),
        safe="a quiet market needs no action; `feeds cancel SYMBOL` restarts a failing feed",
        next=[f"{evidence.command} feeds -o wide"],
    )


def own_lag(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """Symbols that are stale because the service's own loop was late."""
    late = [each for each in _stale(evidence) if each.reason == StaleReason.OWN_LAG]
    if late:
        stale = f"{plural(len(late), 'symbol')} {'is' if len(late) == 1 else 'are'} stale"
        yield DiagnosisFinding(
            rule="own_lag",
            kind="STALE",
            certainty=Certainty.PROVED,
            urgency=55,
            headline=f"{stale} because the service's own loop was late",
            cause=f"{stale}: the service's own loop was late, not the upstream",
            evidence=_ages(late),
            count=len(late),
            safe="nothing to cancel; find what blocks the loop or overloads the machine",
            next=[f"{evidence.command} stacks"],
        )


def wrong_clock(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """Quotes whose timestamps differ from the time at which they arrived, for nearly all symbols alike."""
    now = rfc3339.unix(evidence.after.taken_at)
    # By how much each timestamp is ahead of the time at which its quote arrived, by this machine's clock.
    ahead = [
        rfc3339.unix(each.last_quote_at) - (now - each.age_s)
        for each in evidence.feeds
        if each.last_quote_at is not None and each.age_s is not None
    ]
    if not ahead:
        return
    typical = statistics.median(ahead)
    limit = evidence.thresholds.clock_s
    agree = sum(abs(each - typical) <= limit for each in ahead)
    if abs(typical) < limit or agree < MOST * len(ahead):
        return
    side = "ahead of" if typical > 0 else "behind"
    what = f"the timestamps of quotes are {age(abs(typical))} {side} the clock"
    yield DiagnosisFinding(
        rule="wrong_clock",
        kind="CLOCK",
        certainty=Certainty.PROVED,
        urgency=44,
        headline=f"{what}, for {plural(len(ahead), 'symbol')}",
        cause=f"{what}: the wall clock was set while the service ran",
        evidence=[f"{count(agree)} of {plural(len(ahead), 'symbol')} differ by the same time"],
        count=len(ahead),
        safe="nothing to cancel: order, ages and linger times follow another clock",
        next=[f"{evidence.command} feeds -o wide"],
    )


def _wanted(evidence: Evidence) -> list[FeedStatus]:
    return [each for each in evidence.feeds if each.demand == WANTED]


def _stale(evidence: Evidence) -> list[FeedStatus]:
    stale = [each for each in _wanted(evidence) if each.band != Band.LIVE]
    return sorted(stale, key=lambda each: -(each.age_s or 0.0))


def _silent(evidence: Evidence) -> list[FeedStatus]:
    return [each for each in _stale(evidence) if each.reason != StaleReason.OWN_LAG]


def _subscribers(feeds: Sequence[FeedStatus]) -> str:
    return plural(sum(each.subscriber_count for each in feeds), "subscriber")


def _ages(feeds: Sequence[FeedStatus]) -> list[str]:
    bands = Counter(each.band for each in feeds)
    lines = [", ".join(f"{count(n)} {band.replace('_', ' ')}" for band, n in bands.most_common())]
    aged = [(each.age_s, each.symbol) for each in feeds if each.age_s is not None]
    if aged:
        oldest_s, symbol = max(aged)
        lines.append(f"oldest quote: {symbol}, {age(oldest_s)} old")
    never = len(feeds) - len(aged)
    if never:
        lines.append(f"{plural(never, 'symbol')} without any quote so far")
    return lines


def _page(status: ServiceStatus) -> str:
    """The runbook for an upstream that is down: behind NATS, the part that is missing."""
    if status.cluster is None:
        return "QcfeedUpstreamDown"
    if not status.cluster.connected:
        return "QcfeedBrokerAway"
    return "QcfeedNoOwner" if status.cluster.shares_without_owner else "QcfeedUpstreamDown"


def _connection(evidence: Evidence) -> Iterator[str]:
    if evidence.status is not None:
        connected = "connected" if evidence.status.upstream_connected else "not connected"
        reconnects = plural(evidence.status.upstream_reconnects, "reconnect")
        gaps = plural(evidence.status.upstream_gaps, "gap")
        yield f"upstream {connected}, {reconnects}, {gaps}"
        if evidence.status.cluster is not None and evidence.status.cluster.problem:
            yield f"on NATS: {evidence.status.cluster.problem}"
    failures = Counter(each.failure for each in evidence.feeds if each.failure)
    yield from (f"{text} ({plural(n, 'feed')})" for text, n in failures.most_common(1))


def _tasks(evidence: Evidence) -> str:
    net = evidence.after.totals.live - evidence.before.totals.live
    orphans = sum(now for _, _, now in evidence.orphaned())
    return (
        f"tasks: {count(evidence.after.totals.live)} live, {net:+,} in {age(evidence.seconds)},"
        f" {count(orphans)} orphaned"
    )
