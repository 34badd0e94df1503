"""The form of a line in the service's log: text for people, or JSON for programs that collect logs."""

from __future__ import annotations

import json
import logging

from qcfeed import rfc3339
from qcfeed.formats import printable_json, printable_lines


class LogFormatter(logging.Formatter):
    """One line per message; what is not printable is escaped, and further lines are indented.

    Messages quote upstreams, clients and task names. So no foreign text can steer the terminal that
    shows the log, or look like a line of its own.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record)).replace("\n", "\n    ")


class JsonLogFormatter(logging.Formatter):
    """One JSON object per line, with the fields of a line of ``qcfeed logs -o json``."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": rfc3339.milliseconds(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": super().format(record),
        }
        return printable_json(
            json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace")
        )


def formatter(form: str) -> logging.Formatter:
    """The formatter for ``--log-format``."""
    return JsonLogFormatter() if form == "json" else LogFormatter()
