"""The details of one row, as `tasks show`, `feeds -o wide` and `diagnose` show them. Synchronous."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from qcfeed import shipped
from qcfeed.cli import runbook, target
from qcfeed.cli.diagnose import screen
from qcfeed.cli.subscribers import SUBSCRIBER_TABLE
from qcfeed.cli.tasks.show import figures, stack_lines
from qcfeed.cli.top.actions import PREVIEW
from qcfeed.cli.top.observer import Observer
from qcfeed.cli.ui.figures import FIGURES, LabelledValue
from qcfeed.cli.ui.table import Table, lay_out, lay_out_lines
from qcfeed.control.routes import SUBSCRIBERS, TASKS_SHOW
from qcfeed.diagnose.runbooks import page_of
from qcfeed.formats import printable
from qcfeed.model.diagnosis import DiagnosisFinding
from qcfeed.model.feeds import FeedStatus
from qcfeed.model.orphans import Orphan
from qcfeed.model.subscribers import Subscribers
from qcfeed.model.task_details import TaskDetails
from qcfeed.model.tasks import Task
from qcfeed.observe.collector import Control


class Details(NamedTuple):
    """A text to show. ``serial``: the task it is about; ``rule``: the finding's rule; ``markdown``: the
    text is Markdown."""

    title: str
    lines: list[str]
    serial: int | None = None
    rule: str | None = None
    markdown: bool = False


def of_row(
    observer: Observer, row: Any, table: Table[Any], width: int
) -> Details | Callable[[], Details]:
    """The details of a row of ``table``, or a function that requests them from the service."""
    match row:
        case Task(serial=serial) | Orphan(serial=int(serial)):
            return lambda: task(observer.reads, serial, width)
        case FeedStatus():
            return lambda: feed(observer.reads, row, table, width)
        case DiagnosisFinding():
            return finding(row, width, observer.taken_at)
    return Details(table.identity(row), all_columns(row, table, width))


def task(control: Control, serial: int, width: int) -> Details:
    """A task as in ``qcfeed tasks show``. Raises NotFoundError if it has ended."""
    answer = control.get(TASKS_SHOW, TaskDetails, serial=serial)
    lines = _figures(list(figures(answer)), width)
    if answer.stack or not answer.skipped:
        lines += ["", *stack_lines("stack", answer.stack)]
    if answer.spawn_stack:
        lines += ["", *stack_lines("spawned by", answer.spawn_stack)]
    lines += [printable(f"skipped: {line}") for line in answer.skipped]
    return Details(f"task {serial}", lines, serial=serial)


def feed(control: Control, row: FeedStatus, table: Table[Any], width: int) -> Details:
    """All columns of a feed, and its subscribers, the furthest behind first."""
    answer = control.get(SUBSCRIBERS, Subscribers, symbol=row.symbol, limit=PREVIEW)
    lines = all_columns(row, table, width)
    if answer.subscribers:
        lines += ["", *lay_out(SUBSCRIBER_TABLE, answer.subscribers, width=width).lines]
    if answer.total > len(answer.subscribers):
        lines.append(f"and {answer.total - len(answer.subscribers):,} more: press 3, then /")
    return Details(f"feed {row.symbol}", lines)


def all_columns(row: Any, table: Table[Any], width: int) -> list[str]:
    """Every column of a row, also those that the list does not show."""
    return _figures(
        [LabelledValue(column.title.lower(), column.text(row)) for column in table.columns], width
    )


def finding(row: DiagnosisFinding, width: int, taken_at: str = "") -> Details:
    """A finding as in ``qcfeed diagnose -o wide``. ``taken_at``: the time of a file, which has no `ago`."""
    lines = lay_out_lines(screen.finding_lines(row, full=True, taken_at=taken_at), width)
    return Details(row.kind, [printable(target.retold(text)) for text, _ in lines], rule=row.rule)


def _figures(several: list[LabelledValue], width: int) -> list[str]:
    return lay_out(FIGURES, several, width=width, header=False).lines


def page(rule: str | None) -> Details:
    """The runbook for a rule, or a list of all runbooks if it has none."""
    names = shipped.runbooks()
    name = page_of(rule or "")
    if name in names:
        return Details(f"runbook {name}", [runbook.read(name).text], markdown=True)
    return Details("runbooks", list(_list(names, rule)))


def _list(names: list[str], rule: str | None) -> Iterator[str]:
    if rule:
        yield f"there is no runbook for {rule}; all runbooks:"
        yield ""
    for name in names:
        yield f"{name}: {runbook.read(name).about}"
