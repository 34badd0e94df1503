"""The report's sections about tasks: growth by location, the task dump, and the loop's stack."""

from __future__ import annotations

from collections.abc import Iterator

from qcfeed.diagnose.report.blocks import Bars, Block, Code, Grid, Heading, Paragraph
from qcfeed.diagnose.report.material import Material
from qcfeed.diagnostics import window
from qcfeed.formats import age, count, plural

LOCATIONS = 15
DUMPED_TASKS = 20
STACK_FRAMES = 30


def growth(material: Material) -> Iterator[Block]:
    """Tasks created and ended per minute, in total and by location."""
    evidence = material.evidence
    flows = evidence.flows()
    whole = window.total(flows, evidence.seconds)
    yield Heading("Task growth")
    minutes = evidence.seconds / 60
    if minutes and whole.spawned is not None and whole.ended is not None:
        yield Code(
            f"New spawns:   {whole.spawned / minutes:,.0f} per minute\n"
            f"Completions:  {whole.ended / minutes:,.0f} per minute\n"
            f"Net growth:   {whole.net / minutes:+,.0f} per minute (over {age(evidence.seconds)})"
        )
    shown = sorted(flows, key=lambda flow: (-(flow.live or 0), flow.location))[:LOCATIONS]
    bars = [(each.location, float(each.live), count(each.live)) for each in shown if each.live]
    if bars:
        yield Bars("Live tasks by spawn location", bars)
    yield Grid(
        ("Spawn location", "Function", "Live", "Net per minute", "Orphaned", "Oldest"),
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
        yield Paragraph(f"{plural(len(flows) - len(shown), 'location')} with fewer tasks left out.")


def dump(material: Material) -> Iterator[Block]:
    """The oldest orphans, or the oldest tasks if there are no orphans."""
    yield Heading("Task dump")
    orphans = {
        each.serial: each
        for each in (material.evidence.orphans.orphans if material.evidence.orphans else [])
    }
    tasks = material.tasks.tasks if material.tasks is not None else []
    suspects = [each for each in tasks if each.serial in orphans] or tasks
    if not suspects:
        yield Paragraph("There are no live tasks.")
        return
    chosen = suspects[:DUMPED_TASKS]
    kind = "orphaned" if chosen[0].serial in orphans else "oldest"
    total = plural(material.tasks.total if material.tasks else 0, "live task")
    yield Paragraph(f"Showing {plural(len(chosen), f'{kind} task')}; {total} in total.")
    parts = []
    for each in chosen:
        lines = [
            f"Task #{each.serial} [ALIVE for {age(each.age_s)}] {each.name}",
            f"  spawn location: {each.location}",
            f"  state: {each.state}",
        ]
        note = orphans[each.serial].reason if each.serial in orphans else each.note
        parts.append("\n".join([*lines, f"  note: {note}"] if note else lines))
    yield Code("\n\n".join(parts))


def stacks(material: Material) -> Iterator[Block]:
    """The stack of the thread that runs the watched loop."""
    threads = material.stacks.threads if material.stacks is not None else []
    watched = [each for each in threads if each.watched]
    if not watched:
        return
    yield Heading("Stack of the event loop")
    frames = watched[0].stack[-STACK_FRAMES:]
    yield Code(
        "\n".join(f"{each.location} {each.function}\n    {each.source}".rstrip() for each in frames)
    )
    others = len(threads) - len(watched)
    if others:
        yield Paragraph(f"The stacks of {plural(others, 'other thread')} are in the bundle.")
