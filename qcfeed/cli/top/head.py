"""The lines above the lists: is anything wrong, how long is left, what there is. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from qcfeed.cli.growth_views import signed
from qcfeed.cli.sparkline import BLOCKS, sparkline
from qcfeed.cli.top.looker import Away, Judged, Seen
from qcfeed.control.answers import Status
from qcfeed.formats import age, count, milliseconds, plural, printable, size
from qcfeed.metrics.growth import SAMPLES
from qcfeed.metrics.growth_answer import HORIZON, spoken
from qcfeed.verdict.diagnosis import headline
from qcfeed.verdict.others import DRILL

SPARK = 20
"""Cells of a sparkline."""
STACK = 2
"""Calls of a stuck loop's stack that are named."""


class Said(NamedTuple):
    """A line and its colour, or ``bold``."""

    text: str
    colour: str | None = None


def head(seen: Seen | None, away: Away | None, away_s: float, blocks: str = BLOCKS) -> list[Said]:
    """At most eight lines; ``away_s``: for how long the service has not answered."""
    return [line._replace(text=printable(line.text)) for line in _head(seen, away, away_s, blocks)]


def _head(seen: Seen | None, away: Away | None, away_s: float, blocks: str) -> Iterator[Said]:
    if away is not None:
        what = "SILENT" if away.silent else "AWAY"
        yield Said(f"{what} for {age(away_s)}: {away.message}; asking again", "red")
        if away.hint:
            yield Said(f"  {away.hint}")
    if seen is None:
        return
    yield Said(_who(seen, away is not None), "bold")
    if seen.stuck_s:
        yield Said(f"STUCK  the loop has not turned for {age(seen.stuck_s)}: actions wait", "red")
        for line in seen.stack[-STACK:]:
            yield Said(f"  {line.strip()}")
    yield from _verdict(seen)
    yield _memory(seen, blocks)
    yield _tasks(seen, blocks)
    if seen.status is not None:
        yield _feeds(seen.status)


def _who(seen: Seen, old: bool) -> str:
    held = seen.held
    at = held.taken_at.partition("T")[2][:8]
    if isinstance(held, Status):
        what = f"up {age(held.uptime_s)}, {held.state}"
    else:
        what = f"Python {held.python}, attached {age(held.attached_s)}"
    again = f", restarted {plural(seen.restarts, 'time')} since" if seen.restarts else ""
    when = f"as it was at {at} UTC" if old else f"{at} UTC"
    return f"{held.instance}  pid {held.pid}, {what}{again}  {when}"


def _verdict(seen: Seen) -> Iterator[Said]:
    if seen.judged is None:
        yield Said("looking: a verdict needs two looks")
        return
    told = seen.judged.diagnosis
    if not told.findings:
        yield Said(told.headline, "green")
    else:
        more = len(told.findings) - 1
        yield Said(headline(told.findings[0]) + (f"  (and {more} more: 5)" if more else ""), "red")
    if told.drill and not any(each.rule == DRILL for each in told.findings):
        yield Said(f"DRILL  {told.drill} is on: this service is broken on purpose", "yellow")


def _memory(seen: Seen, blocks: str) -> Said:
    memory = seen.memory
    share = memory.resident_bytes / max(1, memory.limit_bytes)
    text = f"{size(memory.resident_bytes)} of {size(memory.limit_bytes)}, {share:.0%}"
    left, colour = _left(seen.judged)
    spark = sparkline(seen.judged.memory, SPARK, blocks=blocks) if seen.judged else ""
    return Said(f"memory  {text}  {spark}  {left}".rstrip(), colour)


def _left(judged: Judged | None) -> tuple[str, str | None]:
    """Time to the limit, by the window that leaves the least, as ``qcfeed growth`` tells it."""
    if judged is None or not judged.memory:
        return "", None
    worst = judged.worst
    if len(judged.memory) < SAMPLES:
        return "its growth is told after some looks more", None
    if worst is None or worst.time_to_limit_s is None:
        return f"no steady growth in {age(judged.seconds)}", None
    left = worst.time_to_limit_s
    return f"{age(left)} to the limit, {spoken(worst.window)}", "red" if left <= HORIZON else None


def _tasks(seen: Seen, blocks: str) -> Said:
    tasks = seen.held.tasks
    net = "" if seen.per_minute is None else f", {signed(seen.per_minute)}/min"
    spark = sparkline(seen.totals, SPARK, blocks=blocks)
    text = f"{count(tasks.live)} live{net}  {spark}  {count(tasks.orphaned)} orphaned"
    lag = f"loop lag {milliseconds(seen.held.loop_lag_ms)}"
    return Said(f"tasks   {text}, {lag}", "red" if tasks.orphaned else None)


def _feeds(status: Status) -> Said:
    bands = status.staleness
    old = bands.stale + bands.very_stale + bands.dead
    text = (
        f"{count(status.feeds)}, {count(old)} stale; {plural(status.subscriptions, 'subscription')}"
    )
    orphaned = status.orphaned_subscriptions
    gone = f", {count(orphaned)} orphaned" if orphaned else ""
    upstream = "connected" if status.upstream_connected else "DOWN"
    colour = "red" if orphaned or bands.dead or not status.upstream_connected else None
    return Said(
        f"feeds   {text}{gone}, {plural(status.connections, 'connection')};"
        f" {status.upstream} {upstream}",
        colour,
    )
