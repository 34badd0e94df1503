"""The report's section about the parts of the memory."""

from __future__ import annotations

from collections.abc import Iterator

from qcfeed.diagnose.report.blocks import Block, Grid, Heading, Items, Paragraph
from qcfeed.diagnose.report.material import Material
from qcfeed.formats import count, size

PARTS = 12
"""Parts that are listed, the largest; the bundle has all."""
OBJECTS = 5


def made_of(material: Material) -> Iterator[Block]:
    """The largest parts, and where memory accumulates; nothing if no look was taken."""
    use = material.memory
    if use is None:
        return
    yield Heading("Memory")
    yield Paragraph(
        f"Explains {use.explained_share:.0%} of {size(use.memory.resident_bytes)}; estimates from samples."
    )
    parts = sorted(use.parts, key=lambda part: -part.bytes)[:PARTS]
    yield Grid(
        ("Kind", "Name", "Count", "Size"),
        [
            (p.kind, p.name, "-" if p.count is None else count(p.count), size(p.bytes))
            for p in parts
        ],
        right=frozenset({2, 3}),
    )
    if use.largest:
        yield Paragraph("Where it accumulates:")
        yield Items(
            [
                f"{size(each.bytes)}: {each.type}, {each.reached_by}"
                for each in use.largest[:OBJECTS]
            ]
        )
