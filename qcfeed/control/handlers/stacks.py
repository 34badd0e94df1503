"""The handler that shows every thread's stack, also while the watched loop is stuck."""

from __future__ import annotations

from qcfeed.control.routes import STACKS, NoQuery, ReadRoute, Route
from qcfeed.diagnostics import stacks, wait_rules
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.diagnostics.site import AnyTask
from qcfeed.diagnostics.task_info import info_of
from qcfeed.model.stacks import RunningTask, Stacks, ThreadStack
from qcfeed.model.task_details import CallFrame


def routes(ledger: Ledger, watch: LoopWatch) -> list[Route]:
    """The route STACKS. ``watch`` says which thread runs the loop. Cost: 5 us per call in all threads."""

    def show(_: NoQuery) -> Stacks:
        threads = [_thread(thread, ledger, watch.thread) for thread in stacks.threads()]
        return Stacks(threads=sorted(threads, key=lambda thread: not thread.watched))

    return [ReadRoute(STACKS, NoQuery, show)]


def _thread(thread: stacks.CapturedStack, ledger: Ledger, watched: int) -> ThreadStack:
    return ThreadStack(
        name=thread.name,
        ident=thread.ident,
        daemon=thread.daemon,
        watched=thread.ident == watched,
        running_task=_task(thread.running_task, ledger)
        if thread.running_task is not None
        else None,
        stack=[
            CallFrame(location=f"{f.file}:{f.line}", function=f.function, source=f.source or "")
            for f in thread.stack
        ],
        dropped_frames=thread.dropped_frames,
    )


def _task(task: AnyTask, ledger: Ledger) -> RunningTask:
    known = info_of(task, ledger)
    return RunningTask(serial=known.serial if known else None, name=wait_rules.name(task))
