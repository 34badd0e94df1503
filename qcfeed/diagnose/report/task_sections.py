"""The report's sections about tasks: growth by location, the dump, and the stacks."""

from __future__ import annotations

from collections.abc import Iterator

from qcfeed.diagnose.report.blocks import Bars, Block, Code, Grid, Heading, Text
from qcfeed.diagnose.report.material import Material
from qcfeed.diagnostics import window
from qcfeed.formats import age, count, plural

LOCATIONS = 15
DUMPED = 20
FRAMES = 30


def growth(told: Material) -> Iterator[Block]:
    """Births and ends a minute, in all and by location."""
    seen = told.evidence
    flows = seen.flows()
    whole = window.total(flows, seen.seconds)
    yield Heading("Task growth")
    minutes = seen.seconds / 60
    if minutes and whole.spawned is not None and whole.ended is not None:
        yield Code(
            f"New spawns:   {whole.spawned / minutes:,.0f} a minute\n"
            f"Completions:  {whole.ended / minutes:,.0f} a minute\n"
            f"Net growth:   {whole.net / minutes:+,.0f} a minute (over {age(seen.seconds)})"
        )
    shown = sorted(flows, key=lambda flow: (-(flow.live or 0), flow.location))[:LOCATIONS]
    bars = [(each.location, float(each.live), count(each.live)) for each in shown if each.live]
    if bars:
        yield Bars("Live tasks by spawn location", bars)
    yield Grid(
        ("Spawn location", "Function", "Live", "Net a minute", "Orphaned", "Oldest"),
        [
            (
                each.location,
                each.function,
                count(each.live or 0),
                "-" if each.per_minute is None else f"{each.per_minute:+,.0f}",
                count(each.orphaned),
                "-" if each.oldest_s is None else age(each.oldest_s),
            )
            for each in shown
        ],
        frozenset({2, 3, 4, 5}),
    )
    if len(flows) > len(shown):
        yield Text(f"{plural(len(flows) - len(shown), 'location')} with fewer tasks left out.")


def dump(told: Material) -> Iterator[Block]:
    """The oldest orphans, or the oldest tasks where there are none."""
    yield Heading("Task dump")
    lost = {
        each.serial: each
        for each in (told.evidence.orphans.orphans if told.evidence.orphans else [])
    }
    tasks = told.tasks.tasks if told.tasks is not None else []
    suspects = [each for each in tasks if each.serial in lost] or tasks
    if not suspects:
        yield Text("No live task was listed.")
        return
    chosen = suspects[:DUMPED]
    which = "those that have lost their owner" if chosen[0].serial in lost else "the oldest"
    total = plural(told.tasks.total if told.tasks else 0, "live task")
    yield Text(f"{count(len(chosen))} of {which}; {total} in all.")
    parts = []
    for each in chosen:
        lines = [
            f"Task #{each.serial} [ALIVE for {age(each.age_s)}] {each.name}",
            f"  spawn location: {each.location}",
            f"  state: {each.state}",
        ]
        note = lost[each.serial].reason if each.serial in lost else each.note
        parts.append("\n".join([*lines, f"  note: {note}"] if note else lines))
    yield Code("\n\n".join(parts))


def stacks(told: Material) -> Iterator[Block]:
    """The watched loop's thread."""
    threads = told.stacks.threads if told.stacks is not None else []
    watched = [each for each in threads if each.watched]
    if not watched:
        return
    yield Heading("Stack of the watched loop")
    frames = watched[0].stack[-FRAMES:]
    yield Code(
        "\n".join(f"{each.location} {each.function}\n    {each.source}".rstrip() for each in frames)
    )
    others = len(threads) - len(watched)
    if others:
        yield Text(f"The stacks of {plural(others, 'other thread')} are in the bundle.")
