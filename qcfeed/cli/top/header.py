"""The header of ``qcfeed top``: what is wrong, the time left, memory, tasks and feeds. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from qcfeed.cli.top.observer import Away, ServiceSnapshot
from qcfeed.cli.ui.sparkline import BLOCKS, sparkline
from qcfeed.cli.ui.table import cell_width, drop_by_rank
from qcfeed.diagnose.diagnostics_findings import DRILL
from qcfeed.formats import age, count, milliseconds, plural, printable, signed, size
from qcfeed.model.status import ServiceStatus
from qcfeed.observe import words
from qcfeed.observe.words import Tone

SPARK_WIDTH = 20
"""The width of a sparkline, in cells, if there is room."""
STACK_SHOWN = 2
"""The number of innermost calls of a stuck loop to show."""
_COLOURS = {Tone.BAD: "red", Tone.WATCH: "yellow", Tone.GOOD: "green", Tone.PLAIN: None}


class HeaderLine(NamedTuple):
    """A line and its colour, or ``bold``. ``rank``: on a low screen, lines of the highest rank are left
    out first; 0 always stays."""

    text: str
    colour: str | None = None
    rank: int = 0


class Space(NamedTuple):
    """The space for the header, in cells and lines, and the characters for sparklines."""

    width: int = 80
    height: int = 12
    blocks: str = BLOCKS

    def around(self, before: str, values: Sequence[float | None], after: str) -> str:
        """A sparkline between two texts, as wide as they leave room for."""
        spare = self.width - cell_width(f"{before}    {after}")
        spark = sparkline(values, max(0, min(SPARK_WIDTH, spare)), blocks=self.blocks)
        return "  ".join(filter(None, (before, spark, after)))


def header(
    snapshot: ServiceSnapshot | None, away: Away | None, away_s: float, space: Space
) -> list[HeaderLine]:
    """The lines that fit into ``space``; ``away_s``: seconds since the service last answered."""
    lines = drop_by_rank(
        _lines(snapshot, away, away_s, space),
        lambda line: line.rank,
        lambda kept: len(kept) <= space.height,
    )
    return [line._replace(text=printable(line.text)) for line in lines]


def _lines(
    snapshot: ServiceSnapshot | None, away: Away | None, away_s: float, space: Space
) -> Iterator[HeaderLine]:
    if away is not None:
        word = "NO ANSWER" if away.timed_out else "AWAY"
        yield HeaderLine(f"{word} for {age(away_s)}: {away.message}; trying again", "red")
        if away.hint:
            yield HeaderLine(f"  {away.hint}", rank=2)
    if snapshot is None:
        return
    # Of a file, what is shown is never of now: that is told on any screen.
    rank = 3 if snapshot.file is None else 0
    yield HeaderLine(_identity(snapshot, away is not None), "bold", rank)
    if snapshot.stuck_s:
        yield HeaderLine(words.stuck(snapshot.stuck_s), "red")
        for line in snapshot.stack[-STACK_SHOWN:]:
            yield HeaderLine(f"  {line.strip()}", rank=2)
    yield from _diagnosis(snapshot, outdated=away is not None or bool(snapshot.stuck_s))
    yield _memory(snapshot, space)
    yield _tasks(snapshot, space)
    if snapshot.status is not None:
        yield _feeds(snapshot.status)


def _identity(snapshot: ServiceSnapshot, outdated: bool) -> str:
    process = snapshot.process
    date, _, clock = process.taken_at.partition("T")
    at = clock[:8]
    if isinstance(process, ServiceStatus):
        state = f"up {age(process.uptime_s)}, {process.state}"
    else:
        state = f"Python {process.python}, attached {age(process.attached_s)}"
    if snapshot.file is not None:
        return f"as of {date} {at} UTC: {process.instance}  pid {process.pid}, {state}  {snapshot.file}"
    restarts = f", restarted {plural(snapshot.restarts, 'time')}" if snapshot.restarts else ""
    when = f"as of {at} UTC" if outdated else f"{at} UTC"
    return f"{process.instance}  pid {process.pid}, {state}{restarts}  {when}"


def _diagnosis(snapshot: ServiceSnapshot, *, outdated: bool) -> Iterator[HeaderLine]:
    """``outdated``: the service is away or stuck, so it cannot be called healthy."""
    said = words.verdict(snapshot)
    if snapshot.health is None:
        yield HeaderLine(said.text, rank=1)
        return
    diagnosis = snapshot.health.diagnosis
    more = len(diagnosis.findings) - 1
    if said.tone is Tone.BAD:
        yield HeaderLine(said.text + (f"  (and {more} more: 5)" if more > 0 else ""), "red")
    elif not outdated:
        yield HeaderLine(said.text, _COLOURS[said.tone], rank=1)
    if diagnosis.drill and not any(each.rule == DRILL for each in diagnosis.findings):
        yield HeaderLine(words.drill(diagnosis.drill), "yellow", 2)


def _memory(snapshot: ServiceSnapshot, space: Space) -> HeaderLine:
    memory = snapshot.memory
    share = memory.resident_bytes / max(1, memory.limit_bytes)
    text = f"memory  {size(memory.resident_bytes)} of {size(memory.limit_bytes)}, {share:.0%}"
    left, tone = words.time_left(snapshot.health)
    colour = _COLOURS[tone]
    values = snapshot.health.memory if snapshot.health else []
    return HeaderLine(space.around(text, values, left), colour, rank=1 if colour else 2)


def _tasks(snapshot: ServiceSnapshot, space: Space) -> HeaderLine:
    tasks = snapshot.process.totals
    net = "" if snapshot.per_minute is None else f", {signed(snapshot.per_minute)}/min"
    lag = f"loop lag {milliseconds(snapshot.process.loop_lag_ms)}"
    text = space.around(
        f"tasks   {count(tasks.live)} live{net}",
        snapshot.totals,
        f"{count(tasks.orphaned)} orphaned, {lag}",
    )
    return HeaderLine(text, "red" if tasks.orphaned else None, rank=1)


def _feeds(status: ServiceStatus) -> HeaderLine:
    """The upstream comes last because its name may be long."""
    bands = status.staleness
    old = bands.stale + bands.very_stale + bands.dead
    orphaned = status.orphaned_subscriptions
    text = (
        f"feeds   {count(status.feed_count)}, {count(old)} stale;"
        f" {plural(status.subscriptions, 'subscription')}"
        f"{f', {count(orphaned)} orphaned' if orphaned else ''},"
        f" {plural(status.connections, 'connection')};"
        f" {'connected to' if status.upstream_connected else 'DOWN:'} {status.upstream}"
    )
    alarming = orphaned or bands.dead or not status.upstream_connected
    return HeaderLine(text, "red" if alarming else None, rank=2)
