"""One row in full: what `tasks show`, `feeds -o wide` and `diagnose` say of it. Synchronous."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from qcfeed import shipped
from qcfeed.cli import runbook
from qcfeed.cli.diagnose import screen
from qcfeed.cli.subscribers import SUBSCRIBER_TABLE
from qcfeed.cli.tasks.show import figures, told
from qcfeed.cli.top.actions import PREVIEW
from qcfeed.cli.top.observer import Looker
from qcfeed.cli.ui.figures import FIGURES, Figure
from qcfeed.cli.ui.table import Table, lay_out, lay_out_lines
from qcfeed.control.client import ControlClient
from qcfeed.control.routes import SUBSCRIBERS, TASKS_SHOW
from qcfeed.diagnose.runbooks import page_of
from qcfeed.formats import printable
from qcfeed.model.answers import Feed, Orphan, Task
from qcfeed.model.diagnosis import DiagnosisFinding
from qcfeed.model.subscribers import Subscribers
from qcfeed.model.task_details import TaskDetails


class Details(NamedTuple):
    """``serial``: of the task, ``rule``: of the finding, that it is about; ``markdown``: a page to draw."""

    title: str
    lines: list[str]
    serial: int | None = None
    rule: str | None = None
    markdown: bool = False


def opened(
    looker: Looker, chosen: Any, table: Table[Any], width: int
) -> Details | Callable[[], Details]:
    """A row of ``table`` in full, or what asks the service for it."""
    match chosen:
        case Task(serial=serial) | Orphan(serial=int(serial)):
            return lambda: task(looker.client, serial, width)
        case Feed():
            return lambda: feed(looker.client, chosen, table, width)
        case DiagnosisFinding():
            return finding(chosen, width)
    return Details(table.identity(chosen), row(chosen, table, width))


def task(asked: ControlClient, serial: int, width: int) -> Details:
    """As ``qcfeed tasks show``. Raises NotFoundError when it has ended."""
    answer = asked.get(TASKS_SHOW, TaskDetails, serial=serial)
    lines = _figures(list(figures(answer)), width)
    if answer.stack or not answer.skipped:
        lines += ["", *told("stack", answer.stack)]
    if answer.spawn_stack:
        lines += ["", *told("spawned by", answer.spawn_stack)]
    lines += [printable(f"not told: {line}") for line in answer.skipped]
    return Details(f"task {serial}", lines, serial=serial)


def feed(asked: ControlClient, chosen: Feed, table: Table[Any], width: int) -> Details:
    """All columns of a feed, and who holds it, the furthest behind first."""
    readers = asked.get(SUBSCRIBERS, Subscribers, symbol=chosen.symbol, limit=PREVIEW)
    lines = row(chosen, table, width)
    if readers.subscribers:
        lines += ["", *lay_out(SUBSCRIBER_TABLE, readers.subscribers, width=width).lines]
    if readers.total > len(readers.subscribers):
        lines.append(f"and {readers.total - len(readers.subscribers):,} more: 3, then /")
    return Details(f"feed {chosen.symbol}", lines)


def row(chosen: Any, table: Table[Any], width: int) -> list[str]:
    """Every column of a row, those that the list has no room for too."""
    return _figures(
        [Figure(column.title.lower(), column.text(chosen)) for column in table.columns], width
    )


def finding(chosen: DiagnosisFinding, width: int) -> Details:
    """As ``qcfeed diagnose -o wide``."""
    lines = lay_out_lines(screen.in_full(chosen, full=True), width)
    return Details(chosen.kind, [printable(text) for text, _ in lines], rule=chosen.rule)


def _figures(several: list[Figure], width: int) -> list[str]:
    return lay_out(FIGURES, several, width=width, header=False).lines


def page(rule: str | None) -> Details:
    """The runbook of a rule, or the list of all where there is none for it."""
    shipped_pages = shipped.runbooks()
    name = page_of(rule or "")
    if name in shipped_pages:
        return Details(f"runbook {name}", [runbook.read(name).text], markdown=True)
    return Details("runbooks", list(_listed(shipped_pages, rule)))


def _listed(names: list[str], rule: str | None) -> Iterator[str]:
    if rule:
        yield f"there is no runbook of {rule}; those that there are:"
        yield ""
    for name in names:
        yield f"{name}: {runbook.read(name).about}"
