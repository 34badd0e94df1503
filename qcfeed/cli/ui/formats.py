"""Re-exports the number and text formats of qcfeed/formats.py for the commands."""

from qcfeed.formats import (
    NOTHING,
    age,
    clock,
    count,
    if_any,
    labels,
    milliseconds,
    plural,
    printable,
    printable_json,
    printable_lines,
    rate,
    signed,
    size,
)

__all__ = [
    "NOTHING",
    "age",
    "clock",
    "count",
    "if_any",
    "labels",
    "milliseconds",
    "plural",
    "printable",
    "printable_json",
    "printable_lines",
    "rate",
    "signed",
    "size",
]
