"""Figures and text as commands show them: those of qcfeed/formats.py, which the verdict words too."""

from qcfeed.formats import (
    NOTHING,
    age,
    clock,
    count,
    milliseconds,
    plural,
    printable,
    rate,
    size,
)

__all__ = [
    "NOTHING",
    "age",
    "clock",
    "count",
    "milliseconds",
    "plural",
    "printable",
    "rate",
    "size",
]
