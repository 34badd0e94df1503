from __future__ import annotations

from qcfeed.diagnose.report.blocks import Grid, Heading, Items, Paragraph
from qcfeed.diagnose.report.material import Material
from qcfeed.diagnose.report.memory_section import PARTS, made_of
from qcfeed.diagnose.verdict import diagnose
from qcfeed.model.memory import LargeObject, MemoryKind, MemoryPart, MemoryUse
from qcfeed.model.status import Memory
from tests.support.evidence_builders import healthy

MB = 1 << 20


def material(use: MemoryUse | None) -> Material:
    evidence = healthy()
    return Material(
        diagnosis=diagnose(evidence), evidence=evidence, host="h", version="1", memory=use
    )


def test_the_largest_parts_come_first_and_where_memory_accumulates_last() -> None:
    parts = [MemoryPart(kind=MemoryKind.TYPE, name=f"t{n}", bytes=n * MB) for n in range(20)]
    parts.append(MemoryPart(kind=MemoryKind.TASKS, name="app.py:7", count=3, bytes=99 * MB))
    use = MemoryUse(
        memory=Memory(resident_bytes=400 * MB, limit_bytes=800 * MB, limit_source="machine"),
        explained_bytes=100 * MB,
        live_tasks=3,
        parts=parts,
        largest=[LargeObject(reached_by="app.seen", type="list", items=9, bytes=7 * MB)],
        unseen=[],
    )
    heading, text, grid, _, items = made_of(material(use))
    assert heading == Heading("Memory")
    assert isinstance(text, Paragraph)
    assert text.text.startswith("Explains 25% of 400 MiB")
    assert isinstance(grid, Grid)
    assert list(grid.rows[:2]) == [
        ("tasks", "app.py:7", "3", "99.0 MiB"), ("type", "t19", "-", "19.0 MiB"),
    ]  # fmt: skip
    assert len(grid.rows) == PARTS
    assert items == Items(["7.0 MiB: list, app.seen"])


def test_without_a_look_there_is_no_section() -> None:
    assert list(made_of(material(None))) == []
