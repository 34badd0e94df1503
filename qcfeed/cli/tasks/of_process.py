"""``qcfeed tasks --pid``: the tasks of a program without qcfeed, grouped by coroutine and where they wait."""

from __future__ import annotations

import time

import msgspec
import typer

from qcfeed import rfc3339
from qcfeed.cli.context import PROFILES, Format, TaskFormat, options, say
from qcfeed.cli.tasks.tables import GROUP_TABLE
from qcfeed.cli.ui.formats import milliseconds, plural
from qcfeed.cli.ui.render import show
from qcfeed.errors import NoRunningLoopError, UsageError
from qcfeed.inject import process, requests
from qcfeed.model.processes import ProcessLoop, ProcessTasks

COST = (
    "a thread inside it will read its tasks. At 50,000 tasks that takes 0.1 to 0.4 s of one processor, in"
    " steps of 1 ms, and one of about 8 ms in which its loop stands still. Nothing is left there"
)


def run(ctx: typer.Context, pid: int, form: TaskFormat, *, alone: bool) -> None:
    """Print the groups. ``alone``: whether no other view, filter or file was asked for."""
    if not alone or form in PROFILES:
        raise UsageError(
            "--pid has one view, and takes no filter, other view or file",
            hint=f"`qcfeed tasks --pid {pid}`; `qcfeed attach {pid}` makes all commands work",
        )
    target = process.target(pid)
    say(f"{target}: {COST}")
    began = time.monotonic()
    seen = requests.look(target, options(ctx).timeout)
    loops = msgspec.convert(seen["loops"], list[ProcessLoop])
    if not loops:
        raise NoRunningLoopError(
            f"process {pid}: no event loop runs in it",
            hint="tasks of asyncio and uvloop can be read; `py-spy dump --pid` shows what others do",
        )
    answer = ProcessTasks(
        pid=pid,
        taken_at=rfc3339.now(),
        elapsed_ms=round((time.monotonic() - began) * 1000, 3),
        loop_stall_ms=max(loop.held_ms for loop in loops),
        python=seen["python"],
        command=target.command,
        loops=loops,
    )
    groups = sorted((each for loop in loops for each in loop.groups), key=lambda each: -each.count)
    show(Format(form), GROUP_TABLE, groups, raw=msgspec.json.encode(answer))
    total = sum(loop.total for loop in loops)
    say(
        f"{plural(total, 'task')} in {plural(len(loops), 'loop')}; the longest step that held the"
        f" program took {milliseconds(answer.loop_stall_ms)}"
    )
