"""The read-only tools, as a table: each is a request to the service, with few rows by default.

An agent pays for each row that it reads, so lists are short unless it asks for more, and say how many
there are in all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from qcfeed.cli.mcp.tool import NoArguments, Tool
from qcfeed.control import routes
from qcfeed.control.client import ControlClient
from qcfeed.errors import NotFoundError
from qcfeed.model.answer import Answer
from qcfeed.model.diagnosis import Diagnosis
from qcfeed.model.drills import Drills
from qcfeed.model.ended_tasks import TaskFailures
from qcfeed.model.feeds import Feeds
from qcfeed.model.findings import Findings
from qcfeed.model.memory import MemoryUse
from qcfeed.model.orphans import Orphans
from qcfeed.model.report import AuditEntries, LogLines
from qcfeed.model.stacks import Stacks
from qcfeed.model.status import ProgramStatus, ServiceStatus
from qcfeed.model.subscribers import Subscribers
from qcfeed.model.task_details import TaskDetails
from qcfeed.model.task_objects import TasksByObject
from qcfeed.model.tasks import Tasks, TasksByLocation

Limit = Annotated[int, Meta(ge=1, le=1000, description="The most rows to return.")]


class DiagnoseArguments(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of diagnose."""

    window_s: Annotated[
        float,
        Meta(
            ge=1,
            le=120,
            description="Seconds between the two snapshots; longer finds slower growth.",
        ),
    ] = 5.0


class TasksArguments(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of tasks. A task must match every one that is given."""

    site: Annotated[str, Meta(description="Spawn location: FILE:LINE, or FILE.")] = ""
    waiting_on: Annotated[str, Meta(description="Part of what the task waits on.")] = ""
    name: Annotated[str, Meta(description="Part of the task's name.")] = ""
    older_than_s: Annotated[float, Meta(ge=0, description="Least age in seconds.")] = 0.0
    limit: Limit = 20


class LimitArguments(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of a list."""

    limit: Limit = 20


class SerialArguments(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of task."""

    serial: Annotated[int, Meta(ge=1, description="Serial number of a live task.")]


class PageArguments(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of runbook."""

    name: Annotated[
        str,
        Meta(description="An alert's name, as in a finding's `runbook`. Empty: list all pages."),
    ] = ""


def read_tools(client: ControlClient, diagnose: Callable[[float], Diagnosis]) -> Sequence[Tool]:
    """The tools that only read. ``diagnose``: makes a diagnosis, with so many seconds between snapshots."""

    def get(path: str, kind: type[Answer]) -> Callable[[Any], Answer]:
        def run(arguments: Any) -> Answer:
            return client.get(path, kind, **msgspec.structs.asdict(arguments))

        return run

    def status(_: NoArguments) -> Answer:
        try:
            return client.get(routes.STATUS, ServiceStatus)
        except NotFoundError:  # a program that is attached has no feeds
            return client.get(routes.PROCESS, ProgramStatus)

    return (
        Tool(
            "diagnose",
            "Find what is wrong: causes with evidence, the responsible line of code, the time left, what is"
            " safe to do, and the runbook. Call this first.",
            DiagnoseArguments,
            lambda arguments: diagnose(arguments.window_s),
            (Diagnosis,),
        ),
        Tool(
            "status",
            "The state of the service: memory, tasks, orphans, feeds, subscribers, upstream, addresses.",
            NoArguments,
            status,
            (ServiceStatus, ProgramStatus),
        ),
        Tool(
            "tasks_by_location",
            "Count live, orphaned, finished and failed tasks by the line of code that created them.",
            NoArguments,
            get(routes.TASKS_BY_LOCATION, TasksByLocation),
            (TasksByLocation,),
        ),
        Tool(
            "tasks",
            "List live tasks, oldest first: age, coroutine, spawn location and what each waits on.",
            TasksArguments,
            get(routes.TASKS, Tasks),
            (Tasks,),
        ),
        Tool(
            "task",
            "One live task in full: stack, wait, owner, parent, and who awaits it.",
            SerialArguments,
            get(routes.TASKS_SHOW, TaskDetails),
            (TaskDetails,),
        ),
        Tool(
            "tasks_by_object",
            "Which locks, events, queues and pools tasks wait for, who holds them, and deadlocks.",
            NoArguments,
            get(routes.TASKS_BY_OBJECT, TasksByObject),
            (TasksByObject,),
        ),
        Tool(
            "task_findings",
            "What is wrong with the tasks alone: leaks, abandoned waits, blocked loop, lost exceptions.",
            NoArguments,
            get(routes.TASKS_FINDINGS, Findings),
            (Findings,),
        ),
        Tool(
            "task_failures",
            "The exceptions that tasks failed with, grouped by location, type and line.",
            NoArguments,
            get(routes.TASKS_FAILURES, TaskFailures),
            (TaskFailures,),
        ),
        Tool(
            "orphans",
            "Tasks and subscriptions whose owner is gone, with the evidence. Reaping them is safe.",
            LimitArguments,
            get(routes.ORPHANS, Orphans),
            (Orphans,),
        ),
        Tool(
            "stacks",
            "The stack of every thread, the event loop's first. Works while the loop is stuck.",
            NoArguments,
            get(routes.STACKS, Stacks),
            (Stacks,),
        ),
        Tool(
            "memory",
            "What memory is made of: tasks by location, the service's stores, other objects by type, and the"
            " objects in which it accumulates. Estimates; takes up to three seconds.",
            NoArguments,
            get(routes.MEMORY, MemoryUse),
            (MemoryUse,),
        ),
        Tool(
            "feeds",
            "The feeds, one per symbol: state, subscribers, age of the last quote, restarts, failures.",
            NoArguments,
            get(routes.FEEDS, Feeds),
            (Feeds,),
        ),
        Tool(
            "subscribers",
            "Subscriber connections, the furthest behind first: lag, policy, conflated and dropped.",
            LimitArguments,
            get(routes.SUBSCRIBERS, Subscribers),
            (Subscribers,),
        ),
        Tool(
            "log",
            "The latest lines of the service's log, without secrets.",
            LimitArguments,
            get(routes.LOG, LogLines),
            (LogLines,),
        ),
        Tool(
            "audit",
            "Who did what to the service, when and with which result; latest last.",
            LimitArguments,
            get(routes.AUDIT, AuditEntries),
            (AuditEntries,),
        ),
        Tool(
            "drills",
            "Whether a fault was injected on purpose, and which drills there are.",
            NoArguments,
            get(routes.DRILLS, Drills),
            (Drills,),
        ),
        Tool("runbook", "A runbook page as Markdown, or the list of all.", PageArguments, _page),
    )


def _page(arguments: PageArguments) -> str:
    from qcfeed.cli import runbook
    from qcfeed.shipped import runbooks

    return (
        runbook.read(runbook.find(arguments.name)).text if arguments.name else "\n".join(runbooks())
    )
