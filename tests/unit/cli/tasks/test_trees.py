from __future__ import annotations

import asyncio
import json

from qcfeed.cli.tasks.trees import MAX_ALIKE, MAX_INDENT, branches
from qcfeed.errors import ExitStatus
from qcfeed.model.task_details import TaskTree, TreeTask


def task(serial: int, parent: int | None = None, coroutine: str = "", **fields) -> TreeTask:
    return TreeTask(
        serial=serial,
        parent=parent,
        name=f"Task-{serial}",
        coroutine=coroutine or f"c{serial}",
        location="a/b.py:1",
        age_s=1.0,
        **fields,
    )


def drawn(*tasks: TreeTask, fold: bool = True, cycles=()) -> list[str]:
    tree = TaskTree(total=len(tasks), tasks=list(tasks), cycles=list(cycles))
    return [
        f"{branch.stem}{f'+{branch.more}' if branch.more else branch.task.serial}"
        for branch in branches(tree, fold=fold)
    ]


def test_children_are_listed_under_their_parent() -> None:
    assert drawn(task(1), task(2, 1), task(3, 2), task(4, 1), task(5)) == [
        "1",
        "├─ 2",
        "│  └─ 3",
        "└─ 4",
        "5",
    ]


def test_a_child_whose_parent_has_ended_is_a_root() -> None:
    assert drawn(task(7, 3)) == ["7"]


def test_similar_siblings_are_folded_unless_they_have_children_or_are_in_a_cycle() -> None:
    many = [task(n, 1, "same") for n in range(2, 12)]
    lines = drawn(task(1), *many, task(20, 5), cycles=[[6, 7]])
    assert lines == [
        "1", "├─ 2", "├─ 3", "├─ +5", "├─ 5", "│  └─ 20", "├─ 6", "└─ 7",
    ]  # fmt: skip
    assert len(drawn(task(1), *many[:MAX_ALIKE])) == 1 + MAX_ALIKE
    assert len(drawn(task(1), *many, fold=False)) == 11


def test_a_chain_deeper_than_the_screen_is_drawn_to_the_end() -> None:
    lines = drawn(task(1), *(task(n, n - 1) for n in range(2, 3_000)))
    assert len(lines) == 2_999
    assert max(map(len, lines)) <= 3 * MAX_INDENT + 4


async def test_the_tree_on_the_command_line(watched, qcfeed_) -> None:
    watched.serve()
    inner: list[asyncio.Task[None]] = []

    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    async def mother() -> None:
        inner.append(asyncio.create_task(forever(), name="daughter"))
        await inner[0]

    outer = asyncio.create_task(mother(), name="mother")
    await asyncio.sleep(0)
    left = await asyncio.to_thread(qcfeed_, "tasks", "--tree")
    assert left.status == ExitStatus.OK, left.err
    lines = left.out.splitlines()
    above = next(n for n, line in enumerate(lines) if " mother " in line)
    assert "└─ daughter" in lines[above + 1]
    assert lines[above].split()[0] in lines[above + 1].split(), "who waits for it"
    left = await asyncio.to_thread(qcfeed_, "tasks", "--tree", "--limit", "1", "-o", "json")
    assert len(json.loads(left.out)["tasks"]) == 1
    assert left.err.startswith("the 1 oldest of ")
    outer.cancel()
    await asyncio.gather(outer, return_exceptions=True)
