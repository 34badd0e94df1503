"""The lines above the lists: is anything wrong, how long is left, what there is. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from qcfeed.cli.growth.views import signed
from qcfeed.cli.top.observer import Away, Judged, Seen
from qcfeed.cli.ui.sparkline import BLOCKS, sparkline
from qcfeed.cli.ui.table import cell_width, drop_by_rank
from qcfeed.diagnose.diagnostics_findings import DRILL
from qcfeed.diagnose.verdict import headline
from qcfeed.formats import age, count, milliseconds, plural, printable, size
from qcfeed.metrics.growth import SAMPLES
from qcfeed.metrics.growth_answer import HORIZON, spoken
from qcfeed.model.answers import Status

SPARK = 20
"""Cells of a sparkline, where there is room."""
STACK = 2
"""Calls of a stuck loop's stack that are named."""


class Said(NamedTuple):
    """A line and its colour, or ``bold``. ``rank``: on a low screen the highest go first; 0 stays."""

    text: str
    colour: str | None = None
    rank: int = 0


class Room(NamedTuple):
    """What there is to say it in: cells, lines, and blocks for a sparkline."""

    width: int = 80
    height: int = 12
    blocks: str = BLOCKS

    def around(self, before: str, values: Sequence[float | None], after: str) -> str:
        """A sparkline between two texts, as wide as they leave room for."""
        spare = self.width - cell_width(f"{before}    {after}")
        spark = sparkline(values, max(0, min(SPARK, spare)), blocks=self.blocks)
        return "  ".join(filter(None, (before, spark, after)))


def head(seen: Seen | None, away: Away | None, away_s: float, room: Room) -> list[Said]:
    """What there is room for, the lower the screen the less; ``away_s``: for how long the service
    has not answered."""
    lines = drop_by_rank(
        _head(seen, away, away_s, room),
        lambda line: line.rank,
        lambda kept: len(kept) <= room.height,
    )
    return [line._replace(text=printable(line.text)) for line in lines]


def _head(seen: Seen | None, away: Away | None, away_s: float, room: Room) -> Iterator[Said]:
    if away is not None:
        what = "SILENT" if away.silent else "AWAY"
        yield Said(f"{what} for {age(away_s)}: {away.message}; asking again", "red")
        if away.hint:
            yield Said(f"  {away.hint}", rank=2)
    if seen is None:
        return
    yield Said(_who(seen, away is not None), "bold", rank=3)
    if seen.stuck_s:
        yield Said(f"STUCK  the loop has not turned for {age(seen.stuck_s)}: actions wait", "red")
        for line in seen.stack[-STACK:]:
            yield Said(f"  {line.strip()}", rank=2)
    yield from _verdict(seen, old=away is not None or bool(seen.stuck_s))
    yield _memory(seen, room)
    yield _tasks(seen, room)
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


def _verdict(seen: Seen, *, old: bool) -> Iterator[Said]:
    """``old``: the service has gone or is stuck since, so that nobody can call it healthy."""
    if seen.judged is None:
        yield Said("looking: a verdict needs two looks", rank=1)
        return
    told = seen.judged.diagnosis
    if told.findings:
        more = len(told.findings) - 1
        yield Said(headline(told.findings[0]) + (f"  (and {more} more: 5)" if more else ""), "red")
    elif seen.held.tasks.incomplete:  # since the verdict
        yield Said(f"BLIND  {seen.held.tasks.incomplete[0].partition(': ')[0]}", "red")
    elif not old:
        yield Said(told.headline, "green", rank=1)
    if told.drill and not any(each.rule == DRILL for each in told.findings):
        yield Said(f"DRILL  {told.drill} is on: this service is broken on purpose", "yellow", 2)


def _memory(seen: Seen, room: Room) -> Said:
    memory = seen.memory
    share = memory.resident_bytes / max(1, memory.limit_bytes)
    text = f"memory  {size(memory.resident_bytes)} of {size(memory.limit_bytes)}, {share:.0%}"
    left, colour = _left(seen.judged)
    values = seen.judged.memory if seen.judged else []
    return Said(room.around(text, values, left), colour, rank=1 if colour else 2)


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
    return f"{age(left)} left, {spoken(worst.window)}", "red" if left <= HORIZON else None


def _tasks(seen: Seen, room: Room) -> Said:
    tasks = seen.held.tasks
    net = "" if seen.per_minute is None else f", {signed(seen.per_minute)}/min"
    lag = f"loop lag {milliseconds(seen.held.loop_lag_ms)}"
    told = room.around(
        f"tasks   {count(tasks.live)} live{net}",
        seen.totals,
        f"{count(tasks.orphaned)} orphaned, {lag}",
    )
    return Said(told, "red" if tasks.orphaned else None, rank=1)


def _feeds(status: Status) -> Said:
    """The upstream's name comes last: it may be long."""
    bands = status.staleness
    old = bands.stale + bands.very_stale + bands.dead
    orphaned = status.orphaned_subscriptions
    text = (
        f"feeds   {count(status.feeds)}, {count(old)} stale;"
        f" {plural(status.subscriptions, 'subscription')}"
        f"{f', {count(orphaned)} orphaned' if orphaned else ''},"
        f" {plural(status.connections, 'connection')};"
        f" {'connected to' if status.upstream_connected else 'DOWN:'} {status.upstream}"
    )
    alarming = orphaned or bands.dead or not status.upstream_connected
    return Said(text, "red" if alarming else None, rank=2)
