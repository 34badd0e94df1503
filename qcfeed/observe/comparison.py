"""Compares two snapshots of tasks by location: what was created, ended, and has grown in between."""

from __future__ import annotations

from datetime import datetime

import msgspec

from qcfeed.diagnostics import window
from qcfeed.diagnostics.window import Flow
from qcfeed.errors import UsageError
from qcfeed.model.answer import Answer
from qcfeed.model.task_objects import TasksByObject
from qcfeed.model.tasks import TasksByLocation


class Window(Answer, kw_only=True, tag="qcfeed.tasks.window/2"):
    """The tasks created and ended between two snapshots; the location that grew most comes first.

    ``same_process`` is false if the service was restarted: then only live tasks are compared.
    ``incomplete``: why one of the snapshots may lack tasks.
    """

    before_at: str
    seconds: float
    same_process: bool
    flow: Flow
    locations: list[Flow]
    incomplete: list[str] = msgspec.field(default_factory=list)


def compare(before: TasksByLocation, after: TasksByLocation) -> Window:
    """Compare two snapshots.

    Raises UsageError if one has no valid time, or if ``before`` is the later one of the same process.
    """
    seconds = (taken(after) - taken(before)).total_seconds()
    same = process_of(before) == process_of(after)
    if same and seconds < 0:
        raise UsageError(
            f"the first snapshot is the later one: {before.taken_at} and {after.taken_at}",
            hint="give the earlier one first",
        )
    flows = window.between(before.locations, after.locations, seconds, same=same)
    return Window(
        pid=after.pid,
        instance=after.instance,
        taken_at=after.taken_at,
        before_at=before.taken_at,
        seconds=seconds,
        same_process=same,
        flow=window.total(flows, seconds),
        locations=flows,
        incomplete=after.totals.incomplete or before.totals.incomplete,
    )


def process_of(answer: TasksByLocation | TasksByObject) -> tuple[int, str, str]:
    """What identifies the process of an answer; a pid alone does not, as in a container it is always 1."""
    return answer.pid, answer.instance, answer.since


def taken(answer: Answer) -> datetime:
    """The time at which a snapshot was taken. Raises UsageError if it has no valid time."""
    try:
        taken = datetime.fromisoformat(answer.taken_at)
    except ValueError:
        taken = None
    if taken is None or taken.tzinfo is None:
        raise UsageError(f"a snapshot has no valid time: {answer.taken_at!r}")
    return taken
