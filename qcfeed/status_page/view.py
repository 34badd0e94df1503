"""What the status page shows of a tracked service, in words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from qcfeed.diagnose.diagnostics_findings import DRILL
from qcfeed.diagnose.verdict import headline
from qcfeed.formats import age, count, milliseconds, plural, printable, signed, size
from qcfeed.metrics.growth import Point
from qcfeed.model import thresholds
from qcfeed.model.diagnosis import DiagnosisFinding
from qcfeed.model.feeds import Feeds
from qcfeed.model.status import ServiceStatus
from qcfeed.model.status_page import (
    FindingText,
    PageFigure,
    PageSeries,
    StatusPage,
    TonedText,
)
from qcfeed.model.subscribers import Subscribers
from qcfeed.observe import words
from qcfeed.observe.recent import LocationTrend
from qcfeed.observe.tracker import ServiceHealth, Tracked
from qcfeed.observe.words import Said, Tone
from qcfeed.status_page import tables

NEAR_LIMIT = 0.5
"""The limit of memory is in the timeline if this share of it is used: below, the curve would be flat."""
MAX_POINTS = 240
"""The most points per line of the timeline."""


def page(
    tracked: Tracked,
    status: ServiceStatus,
    locations: Sequence[LocationTrend],
    feeds: Feeds,
    subscribers: Subscribers,
) -> StatusPage:
    """The whole page. Cost: O(locations + feeds + listed subscribers)."""
    health = tracked.health
    diagnosis = health.diagnosis if health else None
    findings = diagnosis.findings if diagnosis else []
    return StatusPage(
        pid=status.pid,
        instance=status.instance,
        taken_at=status.taken_at,
        loop_stall_ms=round(tracked.stuck_s * 1_000, 3),
        identity=printable(_identity(status, tracked.restarts)),
        conclusion=_told(_verdict(tracked)),
        time_left=_told(words.time_left(health)),
        notes=[_told(each) for each in _notes(tracked)],
        figures=list(_figures(tracked, status)),
        findings=[_finding(each, Tone.BAD) for each in findings],
        to_recheck=[
            _finding(each, Tone.WATCH) for each in (diagnosis.to_recheck if diagnosis else [])
        ],
        checked=[
            (each.subject, printable(each.result))
            for each in (diagnosis.checks if diagnosis else [])
        ],
        location_table=tables.locations(locations),
        feed_table=tables.feeds(feeds),
        subscriber_table=tables.subscribers(subscribers),
        timeline=list(_timeline(health, status)),
        timeline_about=_timeline_about(health),
        began_s=findings[0].began_s if findings else None,
    )


def _told(said: Said) -> TonedText:
    return TonedText(text=printable(said.text), tone=said.tone.value)


def _identity(status: ServiceStatus, restarts: int) -> str:
    restarted = f", restarted {plural(restarts, 'time')}" if restarts else ""
    return (
        f"{status.instance}, pid {status.pid}, up {age(status.uptime_s)}, {status.state}{restarted},"
        f" qcfeed {status.version}"
    )


def _verdict(tracked: Tracked) -> Said:
    said = words.verdict(tracked)
    if tracked.stuck_s and said.tone is not Tone.BAD:
        return Said(words.stuck(tracked.stuck_s), Tone.BAD)
    return said


def _notes(tracked: Tracked) -> Iterator[Said]:
    if tracked.health is None:
        return
    diagnosis = tracked.health.diagnosis
    if diagnosis.drill and not any(each.rule == DRILL for each in diagnosis.findings):
        yield Said(words.drill(diagnosis.drill), Tone.WATCH)
    for skipped in diagnosis.skipped:
        yield Said(f"not checked: {skipped}", Tone.WATCH)


# ------------------------------------------------------------ findings


def _finding(finding: DiagnosisFinding, tone: Tone) -> FindingText:
    return FindingText(
        headline=printable(headline(finding)),
        tone=tone.value,
        cause=printable(finding.cause),
        facts=[(label, printable(text)) for label, text in _facts(finding)],
        next=[printable(each) for each in finding.next],
    )


def _facts(finding: DiagnosisFinding) -> Iterator[tuple[str, str]]:
    """The lines of `qcfeed diagnose`, with its labels; only the first of several has one."""
    if finding.location:
        yield "line", f"{finding.location}  {finding.source}".rstrip()
    if finding.began_s is not None:
        yield "began", f"{age(finding.began_s)} ago"
    yield from _labelled("evidence", finding.evidence)
    yield from _labelled("explains", [each.summary for each in finding.symptoms])
    if finding.safe:
        yield "safe", finding.safe
    if finding.runbook:
        yield "runbook", f"qcfeed runbook {finding.runbook}"


def _labelled(label: str, texts: Sequence[str]) -> Iterator[tuple[str, str]]:
    for place, text in enumerate(texts):
        yield "" if place else label, text


# ------------------------------------------------------------ figures


def _figures(tracked: Tracked, status: ServiceStatus) -> Iterator[PageFigure]:
    totals, memory, bands = status.totals, status.memory, status.staleness
    share = memory.resident_bytes / max(1, memory.limit_bytes)
    yield PageFigure(
        name="memory",
        value=size(memory.resident_bytes),
        beside=f"{share:.0%} of {size(memory.limit_bytes)}",
        tone=_bad(share >= thresholds.MEMORY_SHARE),
    )
    net = "" if tracked.per_minute is None else f"{signed(tracked.per_minute)}/min"
    yield PageFigure(name="tasks", value=count(totals.live), beside=net)
    orphaned = totals.orphaned + status.orphaned_subscriptions
    yield PageFigure(name="orphaned", value=count(orphaned), tone=_bad(orphaned > 0))
    old = bands.stale + bands.very_stale + bands.dead
    yield PageFigure(
        name="feeds",
        value=count(status.feed_count),
        beside=f"{count(old)} stale",
        tone=_bad(bands.dead > 0) if not old or bands.dead else "watch",
    )
    yield PageFigure(
        name="subscriptions",
        value=count(status.subscriptions),
        beside=plural(status.connections, "connection"),
    )
    up = status.upstream_connected
    yield PageFigure(
        name="upstream",
        value="connected" if up else "DOWN",
        beside=printable(status.upstream),
        tone=_bad(not up),
    )
    yield PageFigure(name="loop lag", value=milliseconds(status.loop_lag_ms))


def _bad(is_bad: bool) -> str:
    return (Tone.BAD if is_bad else Tone.PLAIN).value


# ------------------------------------------------------------ timeline


def _timeline(health: ServiceHealth | None, status: ServiceStatus) -> Iterator[PageSeries]:
    if health is None or len(health.history) < 2:
        return
    points = _thinned(health.history)
    limit = status.memory.limit_bytes
    near = status.memory.resident_bytes >= NEAR_LIMIT * limit
    yield from _series("memory", points, [p.memory for p in points], size, limit if near else None)
    for name, values in (
        ("tasks", [p.live for p in points]),
        ("orphaned", [p.orphans for p in points]),
        ("subscriptions", [p.subscriptions for p in points]),
    ):
        yield from _series(name, points, values, lambda value: count(round(value)))


def _series(
    name: str,
    points: Sequence[Point],
    values: Sequence[float | None],
    show: Callable[[float], str],
    limit: float | None = None,
) -> Iterator[PageSeries]:
    known = [value for value in values if value is not None]
    if not known:
        return
    end = points[-1].at
    yield PageSeries(
        name=name,
        now=show(known[-1]),
        least=show(min(known)),
        most=show(max(known)),
        curve=[
            (round(end - point.at, 1), value) for point, value in zip(points, values, strict=True)
        ],
        limit=limit,
    )


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    """At most MAX_POINTS of them; the last one stays."""
    step = -(-len(points) // MAX_POINTS)
    return points[::-1][::step][::-1]


def _timeline_about(health: ServiceHealth | None) -> str:
    if health is None or len(health.history) < 2:
        return "the service takes a sample about every 10 s; a line needs two"
    return f"the last {age(health.seconds)}, a sample about every 10 s"
