"""The views of a ledger, and the private parts of aiomonitor that they use."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import re
import signal
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import aiomonitor
import click
import pytest
from aiomonitor.context import command_done, current_monitor
from aiomonitor.exceptions import MissingTask
from aiomonitor.termui.commands import interact
from aiomonitor.types import FormattedLiveTaskInfo, FormattedStackItem
from aiomonitor.utils import _extract_stack_from_task
from aiomonitor.webui.app import init_webui
from prompt_toolkit.contrib.telnet.server import TelnetConnection

from qcfeed.contrib import aiomonitor as monitor
from qcfeed.contrib import aiomonitor_views
from qcfeed.contrib.aiomonitor_views import TaskViews
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.errors import StartError
from qcfeed.net import listen
from qcfeed.net.http_connections import HttpConnections, HttpLimits
from tests.support.patience import PATIENCE

Make = Callable[..., TaskViews]


@pytest.fixture
def ledgers() -> Iterator[list[Ledger]]:
    """The ledgers that the views of the test read."""
    made: list[Ledger] = []
    yield made
    for ledger in made:
        ledger.uninstall()


@pytest.fixture
def make(ledgers: list[Ledger]) -> Make:
    """Views of a ledger that starts now: the test's own task is older."""

    def make(console: bool = False) -> TaskViews:
        ledger, loop = Ledger(), asyncio.get_running_loop()
        ledger.install(loop)
        ledgers.append(ledger)
        return TaskViews(loop, ledger, host="127.0.0.1", port=1, web_port=2, console=console)

    return make


class Sleepers:
    """Tasks that sleep until the end of the test."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []
        self.line = 0

    def spawn(self, count: int, name: str = "feed") -> None:
        for number in range(count):
            self.line = inspect.currentframe().f_lineno + 1  # type: ignore[union-attr]
            self.tasks.append(asyncio.create_task(self.sleep(), name=f"{name}-{number}"))

    async def sleep(self) -> None:
        await asyncio.Event().wait()


@pytest.fixture
async def sleepers() -> AsyncIterator[Sleepers]:
    made = Sleepers()
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)


def tasks_in(rows: list[FormattedLiveTaskInfo]) -> list[FormattedLiveTaskInfo]:
    return [row for row in rows if row.task_id != "-"]


def notes_in(rows: list[FormattedLiveTaskInfo]) -> str:
    return "; ".join(row.name for row in rows if row.task_id == "-")


# ---------------------------------------------------------------- lists


async def test_a_row_has_serial_state_name_coroutine_location_and_age(make, ledgers, sleepers):
    views = make()
    sleepers.spawn(1)
    await asyncio.sleep(0)
    (record,) = ledgers[0].records()
    record.created_at = time.monotonic() - (3 * 3600 + 47 * 60)
    (row,) = tasks_in(views.format_running_task_list("", False))
    assert row == FormattedLiveTaskInfo(
        task_id=str(record.serial),
        state="Event.wait (1 waiting)",
        name="feed-0",
        coro="Sleepers.sleep",
        created_location=f"tests/unit/contrib/test_aiomonitor.py:{sleepers.line}",
        since="3:47:00",
    )


async def test_a_task_that_bypasses_the_ledger_is_counted(make, sleepers):
    views = make()
    sleepers.tasks.append(asyncio.Task(sleepers.sleep()))
    rows = views.format_running_task_list("", False)
    assert not tasks_in(rows)
    assert re.search(r"\d untracked", notes_in(rows))


async def test_a_list_has_the_oldest_thousand_tasks_and_a_note(make, sleepers):
    views = make()
    sleepers.spawn(aiomonitor_views.LISTED + 200)
    rows = views.format_running_task_list("", False)
    names = [row.name for row in tasks_in(rows)]
    assert names == [f"feed-{number}" for number in range(aiomonitor_views.LISTED)]
    assert "the oldest 1,000 of 1,200 examined" in notes_in(rows)


@pytest.mark.parametrize("wanted", ["gold-1", "test_aiomonitor.py:", "Sleepers.sl"])
async def test_a_filter_looks_at_name_location_and_coroutine(make, sleepers, wanted):
    views = make()
    sleepers.spawn(2, "feed")
    sleepers.spawn(2, "gold")
    assert "gold-1" in [row.name for row in tasks_in(views.format_running_task_list(wanted, False))]
    assert not tasks_in(views.format_running_task_list("silver", False))


async def test_a_filter_searches_more_tasks_than_a_list_shows(make, sleepers):
    views = make()
    sleepers.spawn(aiomonitor_views.LISTED)
    sleepers.spawn(1, "gold")
    (row,) = tasks_in(views.format_running_task_list("gold", False))
    assert row.name == "gold-0"


async def test_a_filter_that_finds_too_many_says_how_many(make, sleepers):
    views = make()
    sleepers.spawn(aiomonitor_views.LISTED + 7)
    rows = views.format_running_task_list("feed", False)
    assert len(tasks_in(rows)) == aiomonitor_views.LISTED
    assert "the oldest 1,000 of 1,007 found" in notes_in(rows)


async def test_a_filter_stops_at_its_bound_and_says_so(make, sleepers, monkeypatch):
    views = make()
    monkeypatch.setattr(aiomonitor_views, "SEARCHED", 10)
    sleepers.spawn(10)
    sleepers.spawn(1, "gold")
    rows = views.format_running_task_list("gold", False)
    assert not tasks_in(rows)
    assert "the oldest 10 of 11 examined" in notes_in(rows)


async def test_nothing_is_persistent_without_aiomonitor_s_task_factory(make, sleepers):
    views = make()
    sleepers.spawn(1)
    assert views.format_running_task_list("", True) == []


# ---------------------------------------------------------------- one task


async def test_a_trace_says_where_the_task_was_spawned_and_where_it_is(make, sleepers):
    views = make()
    sleepers.spawn(1)
    await asyncio.sleep(0)
    (row,) = tasks_in(views.format_running_task_list("", False))
    text = "\n".join(item.content for item in views.format_running_task_stack(row.task_id))
    assert f"{row.created_location} in Sleepers.spawn" in text
    assert "await asyncio.Event().wait()" in text


@pytest.mark.parametrize("task_id", ["999999999", "abc", "", "-1"])
async def test_an_unknown_task_has_no_trace(make, task_id):
    views = make()
    with pytest.raises(MissingTask):
        views.format_running_task_stack(task_id)


async def test_cancelling_is_refused_with_the_command_that_does_it(make, sleepers):
    views = make()
    sleepers.spawn(1)
    (row,) = tasks_in(views.format_running_task_list("", False))
    with pytest.raises(ValueError, match="qcfeed orphans --reap"):
        await views.cancel_monitored_task(row.task_id)
    assert not sleepers.tasks[0].cancelling()


async def test_tab_completes_serial_numbers(make, sleepers):
    views = make()
    sleepers.spawn(30)
    serials = [row.task_id for row in tasks_in(views.format_running_task_list("", False))]
    completed = complete("where", "", views)
    assert completed == serials[:10]
    assert complete("cancel", serials[20], views) == [serials[20]]


async def test_tab_completion_is_unchanged_in_other_monitors(make):
    loop = asyncio.get_running_loop()
    other = aiomonitor.Monitor(loop)
    assert complete("where", "", other) == [str(id(asyncio.current_task()))]


def complete(command: str, typed: str, views: aiomonitor.Monitor) -> list[str]:
    token = current_monitor.set(views)
    try:
        argument = aiomonitor.monitor_cli.commands[command].params[0]
        context = click.Context(aiomonitor.monitor_cli.commands[command])
        return [item.value for item in argument.shell_complete(context, typed)]
    finally:
        current_monitor.reset(token)


# ---------------------------------------------------------------- commands


async def test_a_signal_is_refused(make):
    views = make()
    with pytest.raises(click.UsageError, match="read-only"):
        invoke(views, ["signal", "SIGTERM"])


async def test_the_console_is_refused_unless_asked_for(make):
    views = make()
    with pytest.raises(click.UsageError, match="--monitor-console"):
        invoke(views, ["console"])
    assert make(console=True).refusal("console") is None


async def test_commands_are_unchanged_in_other_monitors(make, monkeypatch):
    sent = []
    monkeypatch.setattr("os.kill", lambda pid, number: sent.append(number))
    invoke(aiomonitor.Monitor(asyncio.get_running_loop()), ["signal", "SIGTERM"])
    assert sent == [signal.SIGTERM]


def invoke(views: aiomonitor.Monitor, arguments: list[str]) -> None:
    command_done.set(asyncio.Event())
    aiomonitor.monitor_cli.main(arguments, prog_name="", obj=views, standalone_mode=False)


# ---------------------------------------------------------------- sockets


@pytest.fixture
def pair() -> Iterator[tuple[monitor._Client, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(PATIENCE)
    with monitor._Client(ours) as client, theirs:
        yield client, theirs


def test_a_client_is_sent_everything(pair):
    client, theirs = pair
    text = bytes(range(256)) * 20_000
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit(lambda: b"".join(iter(partial(theirs.recv, 65_536), b"")))
        assert client.send(text) == len(text)
        client.shutdown(socket.SHUT_WR)
        assert read.result(PATIENCE) == text


def test_a_reset_reads_as_eof():
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        with monitor._Client(server.accept()[0]) as client:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            theirs.close()
            assert client.recv(1) == b""


def test_a_client_that_does_not_read_is_disconnected(pair):
    client, theirs = pair
    client.settimeout(0.05)
    client.send(b"x" * 10_000_000)
    started = time.monotonic()
    for _ in range(100):
        client.send(b"x")  # these do not wait any more
    assert time.monotonic() - started < 1
    assert client.recv(1) == b""
    while theirs.recv(1_000_000):
        pass


def test_a_port_that_another_listens_on_between_our_bind_and_listen(monkeypatch):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        bind = listen.bind

        def slow_bind(*arguments):
            bound = bind(*arguments)
            other.listen()
            return bound

        monkeypatch.setattr(listen, "bind", slow_bind)
        with pytest.raises(StartError, match="is in use"):
            monitor.listen_exclusively(other.getsockname()[1], "--monitor-port")


# ---------------------------------------------------------------- what we lean on


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


def test_aiomonitor_still_has_the_parts_we_replace_and_use():
    """If this fails, aiomonitor has changed: read its new source before raising the version limit."""
    theirs = aiomonitor.Monitor
    assert parameters(theirs.format_running_task_list) == ["self", "filter_", "persistent"]
    assert parameters(theirs.format_running_task_stack) == ["self", "task_id"]
    assert parameters(theirs.cancel_monitored_task) == ["self", "task_id"]
    assert inspect.iscoroutinefunction(theirs.cancel_monitored_task)
    assert parameters(interact) == ["self", "connection"]
    assert parameters(init_webui) == ["monitor"]
    assert parameters(_extract_stack_from_task) == ["task"]
    assert {f.name for f in dataclasses.fields(FormattedLiveTaskInfo)} == {
        "task_id", "state", "name", "coro", "created_location", "since",
    }  # fmt: skip
    assert FormattedStackItem._fields == ("type", "content")


def test_aiomonitor_reads_no_more_of_a_monitor_than_we_provide():
    """A new private attribute that its views read would be missing in a monitor that is never started."""
    import aiomonitor.termui.commands as commands
    import aiomonitor.termui.completion as completion
    import aiomonitor.webui.app as webui

    source = "".join(map(inspect.getsource, (commands, completion, webui)))
    read = set(re.findall(r"\b(?:self|ctx\.monitor)\.(_?\w+)", source))
    provided = {
        "_monitored_loop", "_event_loop_thread_id", "_ui_loop", "_termui_tasks", "_host",
        "_console_port", "_console_enabled", "console_locals", "prompt",
        "_terminated_tasks", "_terminated_history",
        "cancel_monitored_task", "format_running_task_list", "format_running_task_stack",
        "format_terminated_task_list", "format_terminated_task_stack",
    }  # fmt: skip
    own = {
        "_commands",
        "_aliases",
        "_root_command",
        "get_command",
        "list_commands",
    }  # of its command group and completer
    assert read - own == provided


def test_aiomonitor_still_has_the_commands_that_we_adapt():
    commands = aiomonitor.monitor_cli.commands
    assert {"console", "signal"} <= set(commands)
    for name in ("cancel", "where"):
        assert commands[name].params[0].name == "taskid"


async def test_the_only_changing_route_of_aiomonitor_is_one_that_is_refused(make):
    views = make()
    application = await aiomonitor_views.web_application(
        views, 2, HttpConnections("test", HttpLimits.for_this_process())
    )
    served = {(route.method, route.resource.canonical) for route in application.router.routes()}
    assert ("POST", "/api/task-count") in served
    changing = {path for method, path in served if method not in ("GET", "HEAD", "POST")}
    assert changing == {"/api/task"}  # which cancel_monitored_task refuses


def test_prompt_toolkit_still_takes_a_connection_of_ours():
    assert parameters(TelnetConnection)[:7] == [
        "conn", "addr", "interact", "server", "encoding", "style", "vt100_input",
    ]  # fmt: skip
