"""aiomonitor's views, read-only and with the lists from our ledger.

They use private parts of aiomonitor; tests/unit/contrib/test_aiomonitor.py names each of them and
fails if one is removed.
"""

from __future__ import annotations

import asyncio
import functools
import textwrap
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import Any

import aiomonitor
import click
from aiohttp import web
from aiomonitor.context import command_done, current_monitor
from aiomonitor.exceptions import MissingTask
from aiomonitor.termui import commands as termui_commands
from aiomonitor.termui.completion import complete_task_id
from aiomonitor.types import FormatItemTypes, FormattedLiveTaskInfo, FormattedStackItem
from aiomonitor.utils import _extract_stack_from_task
from aiomonitor.webui.app import init_webui

from qcfeed.contrib import monitor_console
from qcfeed.control import auth
from qcfeed.diagnostics import snapshot
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.task_info import TaskRecord
from qcfeed.errors import NotAllowedError
from qcfeed.formats import printable
from qcfeed.net.http_connections import HttpConnections, supervised

LISTED = 1_000
"""Maximum number of tasks in a list, oldest first."""
SEARCHED = 10_000
"""Tasks that a filter examines, oldest first: each costs 5 us, and the web page refreshes every 2 s."""
_COMPLETIONS = 10
_READ_ONLY = "this view is read-only; use `qcfeed orphans --reap` or `qcfeed feeds cancel SYMBOL`"


class TaskViews(aiomonitor.Monitor):  # type: ignore[misc]
    """aiomonitor's views of a ledger. Never started itself: ``contrib/aiomonitor.py`` serves it.

    Tasks are identified by the ledger's serial numbers, as in ``qcfeed tasks``. Create it in the
    loop's thread.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ledger: Ledger,
        *,
        host: str,
        port: int,
        web_port: int,
        console: bool,
    ) -> None:
        super().__init__(
            loop,
            host=host,
            termui_port=port,
            webui_port=web_port,
            console_port=0,  # not used: monitor_console.py needs no port
            console_enabled=console,
            hook_task_factory=False,
        )
        self._ledger = ledger
        self._event_loop_thread_id = threading.get_ident()  # for its `stacktrace`

    def opened(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set the loop in which telnet commands run; it is not the monitored one."""
        self._ui_loop = loop

    def live(self) -> int:
        """The number of live tasks, from the ledger's counters. Cost: O(locations)."""
        return sum(site.live for site in self._ledger.sites())

    def oldest(self) -> Iterable[int]:
        """Serial numbers of the oldest LISTED tasks."""
        return [task.serial for task in snapshot.live(self._ledger, time.monotonic(), LISTED)]

    def format_running_task_list(
        self, filter_: str, persistent: bool
    ) -> list[FormattedLiveTaskInfo]:
        """The oldest tasks, at most LISTED, after rows that say what is left out.

        ``filter_`` is searched for in the coroutine, the name and the spawn location. No task is
        ``persistent``: only aiomonitor's own task factory marks tasks so.
        """
        if persistent:
            return []
        searched = SEARCHED if filter_ else LISTED
        tasks = snapshot.live(self._ledger, time.monotonic(), searched)
        found = [task for task in tasks if _matches(task, filter_ or "")]
        rows = [_row(task) for task in found[:LISTED]]
        notes = _left_out(
            len(rows), len(found), len(tasks), self.live(), snapshot.untracked(self._ledger)
        )
        return [_note(note) for note in notes] + rows

    def format_running_task_stack(self, task_id: str | int) -> list[FormattedStackItem]:
        """Where a task was spawned, and its current stack. Raises MissingTask."""
        record = self._find(task_id)
        task = record() if record else None
        if record is None or task is None:
            raise MissingTask(task_id)
        stack = traceback.format_list(_extract_stack_from_task(task))
        return [
            FormattedStackItem(FormatItemTypes.HEADER, f"Task {record.serial} was spawned at"),
            FormattedStackItem(
                FormatItemTypes.CONTENT, f"{record.site.location} in {record.site.function}"
            ),
            FormattedStackItem(FormatItemTypes.HEADER, "Its stack (most recent call last)"),
            FormattedStackItem(
                FormatItemTypes.CONTENT, textwrap.dedent("".join(stack)) or "not suspended"
            ),
        ]

    async def cancel_monitored_task(self, task_id: str | int) -> str:
        """Always raises ValueError, which both views display: actions must be audited."""
        raise ValueError(f"task {task_id} is not cancelled: {_READ_ONLY}")

    def refusal(self, command: str) -> str | None:
        """The reason why a telnet command is refused; None if it is allowed."""
        if command == "signal":
            return _READ_ONLY
        if command == "console" and not self._console_enabled:
            return (
                "the Python console is off; start the service with --monitor-console to enable it"
            )
        return None

    def _find(self, task_id: str | int) -> TaskRecord | None:
        try:
            return self._ledger.find(int(task_id))
        except ValueError:
            return None


def _matches(task: snapshot.LiveTask, wanted: str) -> bool:
    return any(wanted in text for text in (task.coroutine, task.name, task.location))


def _row(task: snapshot.LiveTask) -> FormattedLiveTaskInfo:
    age = str(timedelta(seconds=int(task.age_s)))
    name, coroutine, location = map(printable, (task.name, task.coroutine, task.location))
    return FormattedLiveTaskInfo(str(task.serial), task.state, name, coroutine, location, age)


def _note(text: str) -> FormattedLiveTaskInfo:
    return FormattedLiveTaskInfo("-", "-", text, "-", "-", "-")


def _left_out(shown: int, found: int, searched: int, live: int, untracked: int) -> list[str]:
    notes = []
    if shown < found:
        notes.append(f"the oldest {shown:,} of {found:,} found")
    if searched < live:
        notes.append(f"the oldest {searched:,} of {live:,} examined: see `qcfeed tasks`")
    if untracked:
        notes.append(f"{untracked:,} untracked: created before the ledger or bypassing it")
    return notes


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def web_application(
    views: TaskViews, port: int, connections: HttpConnections
) -> web.Application:
    """aiomonitor's web application, protected against requests from other sites' pages."""
    application: web.Application = await init_webui(views)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            _check(request, port)
        except NotAllowedError as error:
            return web.json_response({"msg": error.message, "detail": error.hint}, status=403)
        if request.path == "/api/task-count":
            form = await request.post()
            if form.get("task_type", "running") == "running":
                # aiomonitor itself counts all_tasks(), which takes 30 ms at 50,000 tasks, every 2 s.
                return web.json_response({"value": views.live()})
        return await handler(request)

    application.middlewares.append(supervised(connections))
    application.middlewares.append(guard)
    return application


def _check(request: web.Request, port: int) -> None:
    """Raise NotAllowedError for DNS rebinding and for other sites' pages; our own page is allowed."""
    host, origin = request.headers.get("Host"), request.headers.get("Origin")
    auth.check_host(host, port)
    if origin != f"http://{host}":
        auth.check_origin(origin)


def _guarded(name: str, callback: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(callback)
    def run(*args: Any, **kwargs: Any) -> Any:
        views = click.get_current_context().obj
        if isinstance(views, TaskViews):
            if refusal := views.refusal(name):
                raise click.UsageError(refusal)
            # click processes the --help option first, which sets this event. If it stays set, a second
            # prompt appears beside the command and swallows half of the input.
            command_done.get().clear()
        return callback(*args, **kwargs)

    return run


def _complete_serial(context: click.Context, argument: click.Parameter, typed: str) -> list[str]:
    views = current_monitor.get(None)
    if not isinstance(views, TaskViews):
        return list(complete_task_id(context, argument, typed))
    serials = [str(serial) for serial in views.oldest()]
    return [serial for serial in serials if serial.startswith(typed)][:_COMPLETIONS]


def _adapt_commands() -> None:
    """Patch aiomonitor's telnet commands, which are shared by all monitors, for our views."""
    termui_commands.console = monitor_console
    commands = aiomonitor.monitor_cli.commands
    for name in ("cancel", "console", "signal"):
        commands[name].callback = _guarded(name, commands[name].callback)
    for name in ("cancel", "where"):
        commands[name].params[:] = [
            click.Argument(["taskid"], shell_complete=_complete_serial)
            if parameter.name == "taskid"
            else parameter
            for parameter in commands[name].params
        ]


_adapt_commands()
