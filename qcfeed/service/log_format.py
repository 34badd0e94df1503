"""The form of a line in the service's log."""

from __future__ import annotations

import logging

from qcfeed.formats import printable_lines


class LogFormatter(logging.Formatter):
    """One line per message; what is not printable is escaped, and further lines are indented.

    Messages quote upstreams, clients and task names. So no foreign text can steer the terminal that
    shows the log, or look like a line of its own.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record)).replace("\n", "\n    ")
