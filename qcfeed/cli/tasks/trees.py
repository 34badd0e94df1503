"""``qcfeed tasks --tree``: shows live tasks under their parents, with the tasks that await them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import typer

from qcfeed.cli.context import Format, say
from qcfeed.cli.saved_files import ask_or_read
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.render import show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import TASKS_TREE
from qcfeed.diagnostics.locations import CALLED_BY, places
from qcfeed.model.task_details import TaskTree, TreeTask

MAX_INDENT = 10
"""Levels of indentation; deeper tasks are shown at the deepest level."""
MAX_ALIKE = 3
"""More childless siblings from one spawn location than this are summarized on one line."""


class Branch(NamedTuple):
    """One line of the tree. ``more``: the number of similar tasks that this line stands for."""

    task: TreeTask
    stem: str
    note: str
    more: int = 0


def _file_and_line(location: str) -> str:
    """A location without its directories, to save space; ``--site`` accepts this form."""
    return CALLED_BY.join(place.rpartition("/")[2] for place in places(location))


TREE_TABLE: Table[Branch] = Table(
    (
        Column("serial", value=lambda b: None if b.more else b.task.serial, right=True),
        Column(
            "age_s",
            header="AGE",
            value=lambda b: None if b.more else b.task.age_s,
            show=formats.age,
            right=True,
        ),
        Column("task", value=lambda b: b.stem + _title(b), least=30),
        Column("location", value=lambda b: b.task.location, show=_file_and_line),
        Column(
            "awaited_by",
            value=lambda b: None if b.more else " ".join(map(str, b.task.awaited_by_serials)),
            least=7,
        ),
        Column("note", least=10, rank=1, colour=lambda _: "yellow"),
    ),
    identity=lambda branch: str(branch.task.serial),
)


def run(
    ctx: typer.Context,
    output: Format,
    *,
    limit: int,
    source: Path | None,
    save: Path | None,
    params: dict[str, Any],
) -> None:
    """Print the live tasks, each under its parent."""
    answer, raw = ask_or_read(
        ctx, TASKS_TREE, TaskTree, source=source, save=save, limit=limit, **params
    )
    fold = output in (Format.TABLE, Format.WIDE)
    show(output, TREE_TABLE, list(branches(answer, fold=fold)), raw=raw)
    for cycle in answer.cycles:
        say(f"deadlock: task {' waits for '.join(map(str, [*cycle, cycle[0]]))}")
    if len(answer.tasks) < answer.total:
        say(
            f"the {len(answer.tasks):,} oldest of {answer.total:,} tasks;"
            " --limit N shows more, --site and --label select some"
        )


def branches(answer: TaskTree, *, fold: bool) -> Iterator[Branch]:
    """The lines of the tree. ``fold``: summarize similar siblings on one line."""
    listed = {task.serial for task in answer.tasks}
    children: dict[int | None, list[TreeTask]] = {}
    for task in answer.tasks:
        children.setdefault(task.parent if task.parent in listed else None, []).append(task)
    in_cycle = {serial for cycle in answer.cycles for serial in cycle}
    # An explicit stack, no recursion: a chain of tasks may be longer than Python's recursion limit.
    pending = _level(children, None, "", in_cycle, fold)[::-1]
    while pending:
        branch = pending.pop()
        yield branch
        if not branch.more:
            stem = _child_stem(branch.stem)
            pending += _level(children, branch.task.serial, stem, in_cycle, fold)[::-1]


def _level(
    children: Mapping[int | None, list[TreeTask]],
    parent: int | None,
    stem: str,
    in_cycle: set[int],
    fold: bool,
) -> list[Branch]:
    """The children of the task ``parent``, or the roots for None."""
    groups: dict[tuple[object, ...], list[TreeTask]] = {}
    for task in children.get(parent, ()):
        alone = task.serial in children or task.serial in in_cycle or not fold
        key = (task.serial,) if alone else (task.location, task.coroutine, task.note)
        groups.setdefault(key, []).append(task)
    found = []
    for alike in groups.values():
        shown = alike if len(alike) <= MAX_ALIKE else alike[: MAX_ALIKE - 1]
        found += [Branch(task, stem, _note(task, in_cycle)) for task in shown]
        if rest := len(alike) - len(shown):
            found.append(Branch(alike[-1], stem, alike[-1].note, rest))
    if parent is None:
        return found
    ends = ["├─ "] * (len(found) - 1) + ["└─ "]
    return [branch._replace(stem=stem + end) for branch, end in zip(found, ends, strict=False)]


def _child_stem(stem: str) -> str:
    """The lines in front of the children of a task whose own line starts with ``stem``."""
    below = stem.replace("├─ ", "│  ").replace("└─ ", "   ")
    return below[-3 * (MAX_INDENT - 1) :]


def _title(branch: Branch) -> str:
    task = branch.task
    if branch.more:
        return f"and {formats.count(branch.more)} more {task.coroutine}"
    return task.coroutine if task.name.startswith("Task-") else task.name


def _note(task: TreeTask, in_cycle: set[int]) -> str:
    return ", ".join(filter(None, (task.note, "in a cycle" if task.serial in in_cycle else "")))
