"""The tables of ``qcfeed memory``."""

from __future__ import annotations

from collections.abc import Iterator

from qcfeed.cli.context import Format, say
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.render import draw, emit, show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.diagnostics.memory_report import OWN_STORE
from qcfeed.model.memory import LargeObject, MemoryKind, MemoryPart, MemoryUse

SHOWN = 0.005
"""Parts below this share of resident memory are left out of the table; -o wide shows all."""
OBJECTS_SHOWN = 0.01
"""The same for objects in which memory accumulates."""


def show_memory(answer: MemoryUse, raw: bytes, output: Format) -> None:
    """Print the parts and the largest objects on stdout, and what they explain on stderr."""
    resident = max(1, answer.memory.resident_bytes)
    grown, wide = answer.window_s is not None, output is Format.WIDE
    rows = answer.parts
    if output is Format.TABLE:
        rows = [part for part in rows if _matters(part, resident, grown=grown)]
    show(output, _parts_table(resident, grown=grown), rows, raw=raw)
    if output not in (Format.TABLE, Format.WIDE):
        return
    largest = [each for each in answer.largest if wide or _stands_out(each, resident)]
    if largest:
        emit("\nobjects that hold the most:")
        draw(_objects_table(grown=grown), largest, wide=wide)
    for line in _summary(answer):
        say(line)


def _matters(part: MemoryPart, resident: int, *, grown: bool) -> bool:
    size = abs(part.grown_bytes or 0) if grown else 0
    return max(part.bytes, size) >= SHOWN * resident or part.kind is MemoryKind.STORE


def _stands_out(each: LargeObject, resident: int) -> bool:
    return max(each.bytes, abs(each.grown_bytes or 0)) >= OBJECTS_SHOWN * resident


def _parts_table(resident: int, *, grown: bool) -> Table[MemoryPart]:
    growth = [_growth(grown=grown)] if grown else []
    return Table(
        (
            Column("kind"),
            Column("name", least=20),
            Column("function", least=16, wide=True),
            Column("count", show=formats.count, right=True),
            Column("each_bytes", header="EACH", show=formats.size, right=True, rank=1),
            Column("bytes", header="SIZE", show=formats.size, right=True),
            Column(
                "share",
                value=lambda part: part.bytes / resident,
                show=lambda share: f"{share:.0%}",
                right=True,
            ),
            *growth,
            Column("sampled", show=formats.count, right=True, wide=True),
            Column("note", least=12, rank=2),
        ),
        identity=lambda part: part.name,
    )


def _growth(*, grown: bool) -> Column:  # type: ignore[type-arg]
    return Column(
        "grown_bytes",
        header="GREW",
        show=_signed,
        right=True,
        wide=not grown,
        colour=lambda row: "yellow" if (row.grown_bytes or 0) > 0 else None,
    )


def _signed(size: float) -> str:
    return f"{'-' if size < 0 else '+'}{formats.size(abs(size))}"


def _objects_table(*, grown: bool) -> Table[LargeObject]:
    growth = [_growth(grown=grown)] if grown else []
    return Table(
        (
            Column("bytes", header="SIZE", show=formats.size, right=True),
            *growth,
            Column("items", show=formats.count, right=True),
            Column("type", least=10),
            Column("reached_by", least=24),
        ),
        identity=lambda each: each.reached_by,
    )


def _summary(answer: MemoryUse) -> Iterator[str]:
    memory, resident = answer.memory, formats.size(answer.memory.resident_bytes)
    yield (
        f"explains {answer.explained_share:.0%} of {resident} resident;"
        f" the limit is {formats.size(memory.limit_bytes)} ({memory.limit_source})"
    )
    if answer.window_s is not None and answer.grown_bytes is not None:
        change = "shrank" if answer.grown_bytes < 0 else "grew"
        size = formats.size(abs(answer.grown_bytes))
        yield f"memory {change} by {size} within {formats.age(answer.window_s)}"
        if not answer.complete:
            yield "types are not compared: a snapshot ended before it had visited every object"
    unexplained = memory.resident_bytes - answer.explained_bytes
    if unexplained > 0:
        yield f"not explained: {formats.size(unexplained)}. It may be:"
    else:
        yield (
            f"the estimates exceed what is resident by {formats.size(-unexplained)}. Not seen is:"
        )
    yield from (f"  {each}" for each in answer.unseen)
    yield f"next: {_next(answer)}"


def _weight(part: MemoryPart) -> tuple[int, int]:
    return part.grown_bytes or 0, part.bytes


def _next(answer: MemoryUse) -> str:
    """What to type about the part that is largest, or that grew most."""
    first = max(answer.parts, key=_weight, default=None)
    if first is not None and first.kind is MemoryKind.TASKS:
        return "`qcfeed tasks --window 30s`, then `qcfeed orphans`"
    if first is not None and first.kind is MemoryKind.STORE and first.name != OWN_STORE:
        return "`qcfeed subscribers`"
    if answer.window_s is None:
        return "`qcfeed memory --window 1m` shows what grows; `qcfeed memory --trace 30s` by which line"
    return "`qcfeed memory --trace 30s` names the lines that allocate"
