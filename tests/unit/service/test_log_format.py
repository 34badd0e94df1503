from __future__ import annotations

import logging

from qcfeed.service.log_format import LogFormatter
from tests.support.hostile import EVIL


def fail() -> None:
    raise ValueError(EVIL)


def test_foreign_text_is_escaped_and_forges_no_line() -> None:
    try:
        fail()
    except ValueError as error:
        record = logging.LogRecord(
            "qcfeed", logging.WARNING, "x.py", 1, "%s\nINFO forged", (EVIL,),
            (type(error), error, error.__traceback__),
        )  # fmt: skip
    first, *rest = LogFormatter().format(record).split("\n")
    assert "WARNING qcfeed: ev\\x1b[31mil" in first
    assert all(line.startswith("    ") for line in rest)
    assert all(line.isprintable() for line in (first, *rest))
    assert "Traceback" in rest[1]
