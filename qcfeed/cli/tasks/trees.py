"""``qcfeed tasks --tree``: who spawned whom, and who waits for whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import typer

from qcfeed.cli.context import Format, say
from qcfeed.cli.saved_files import ask_or_read
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.render import show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import TASKS_TREE
from qcfeed.model.task_details import TaskTree, TreeTask

DEEPEST = 10
"""Levels that are indented; what lies deeper stands there too, and says how deep it is."""
ALIKE = 3
"""Children without children that one line spawned: of more, one stands for the rest."""


class Branch(NamedTuple):
    """One line of the tree. ``more``: how many like it are not shown."""

    task: TreeTask
    stem: str
    note: str
    more: int = 0


def _file_and_line(location: str) -> str:
    """Without the directories, for which a tree has no room; ``--site`` takes it like this."""
    return location.rpartition("/")[2]


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
            value=lambda b: None if b.more else " ".join(map(str, b.task.awaited_by)),
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
    which: dict[str, Any],
) -> None:
    """Draw the live tasks under those that spawned them."""
    answer, raw = ask_or_read(
        ctx, TASKS_TREE, TaskTree, source=source, target=save, limit=limit, **which
    )
    for_people = output in (Format.TABLE, Format.WIDE)
    show(output, TREE_TABLE, list(branches(answer, fold=for_people)), raw=raw)
    for ring in answer.cycles:
        say(f"a cycle, which nobody will end: {' waits for '.join(map(str, [*ring, ring[0]]))}")
    if len(answer.tasks) < answer.total:
        say(
            f"the {len(answer.tasks):,} oldest of {answer.total:,} tasks;"
            " --limit N shows more, --site and --label pick some"
        )


def branches(answer: TaskTree, *, fold: bool) -> Iterator[Branch]:
    """The tree, line by line. ``fold``: one line for many alike."""
    listed = {task.serial for task in answer.tasks}
    children: dict[int | None, list[TreeTask]] = {}
    for task in answer.tasks:
        children.setdefault(task.parent if task.parent in listed else None, []).append(task)
    rings = {serial for ring in answer.cycles for serial in ring}
    # By hand and not by recursion: a chain of tasks may be longer than Python's stack.
    waiting = [(branch, 0) for branch in _level(children, None, "", rings, fold)][::-1]
    while waiting:
        branch, depth = waiting.pop()
        yield branch
        if not branch.more:
            stem = _below(branch.stem)
            inner = _level(children, branch.task.serial, stem, rings, fold)
            waiting += [(each, depth + 1) for each in inner][::-1]


def _level(
    children: Mapping[int | None, list[TreeTask]],
    parent: int | None,
    stem: str,
    rings: set[int],
    fold: bool,
) -> list[Branch]:
    """The children of one task; the roots, for None."""
    groups: dict[tuple[object, ...], list[TreeTask]] = {}
    for task in children.get(parent, ()):
        alone = task.serial in children or task.serial in rings or not fold
        key = (task.serial,) if alone else (task.location, task.coroutine, task.note)
        groups.setdefault(key, []).append(task)
    found = []
    for alike in groups.values():
        shown = alike if len(alike) <= ALIKE else alike[: ALIKE - 1]
        found += [Branch(task, stem, _note(task, rings)) for task in shown]
        if rest := len(alike) - len(shown):
            found.append(Branch(alike[-1], stem, alike[-1].note, rest))
    if parent is None:
        return found
    ends = ["├─ "] * (len(found) - 1) + ["└─ "]
    return [branch._replace(stem=stem + end) for branch, end in zip(found, ends, strict=False)]


def _below(stem: str) -> str:
    """What stands before the children of a task whose own line begins with ``stem``."""
    below = stem.replace("├─ ", "│  ").replace("└─ ", "   ")
    return below[-3 * (DEEPEST - 1) :]


def _title(branch: Branch) -> str:
    task = branch.task
    if branch.more:
        return f"and {formats.count(branch.more)} more {task.coroutine}"
    return task.coroutine if task.name.startswith("Task-") else task.name


def _note(task: TreeTask, rings: set[int]) -> str:
    notes: Sequence[str] = [task.note] if task.note else []
    return ", ".join([*notes, *(["in a cycle"] if task.serial in rings else [])])
