"""aiomonitor beside a real loop and a real ledger, used over its own sockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import struct
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import psutil
import pytest

from qcfeed.config import Config
from qcfeed.contrib import aiomonitor, aiomonitor_views
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.task_info import info_of
from qcfeed.errors import StartError
from tests.support.patience import PATIENCE
from tests.support.ports import refusing_port

PROMPT = "monitor >>> "
IS_A_DUMB_TERMINAL = b"\xff\xfb\x18\xff\xfa\x18\x00dumb\xff\xf0"
"""Telnet (RFC 1091): IAC WILL TTYPE, IAC SB TTYPE IS "dumb" IAC SE."""

Attach = Callable[..., aiomonitor.Monitor]


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    info_of = Ledger()
    yield info_of
    info_of.uninstall()


@pytest.fixture
async def attach(ledger: Ledger) -> AsyncIterator[Attach]:
    attached: list[aiomonitor.Monitor] = []

    def attach(**options: Any) -> aiomonitor.Monitor:
        loop = asyncio.get_running_loop()
        if not ledger.installed:
            ledger.install(loop)
        attached.append(aiomonitor.attach(loop, ledger, Config(**options)))
        return attached[-1]

    yield attach
    for each in attached:
        await asyncio.to_thread(each.close)
    assert not threads()


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name == "qcfeed-monitor"]


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


class Telnet:
    """A telnet client that reads plain text, without colours and cursor movements."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.raw = b""

    async def run(self, command: str, wanted: str) -> str:
        """Type the command; returns the output up to the line that contains ``wanted``."""
        self.raw = b""
        self.writer.write(command.encode() + b"\r")
        return await self.until(re.escape(wanted) + r"[^\n]*\n")

    async def until(self, pattern: str) -> str:
        async with asyncio.timeout(PATIENCE):
            while not re.search(pattern, text := _plain(self.raw)):
                got = await self.reader.read(65_536)
                assert got, f"the connection ended after {text!r}"
                self.raw += got
        return text


def _plain(raw: bytes) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", raw.decode("utf-8", "replace"))


@contextlib.asynccontextmanager
async def connected(to: aiomonitor.Monitor) -> AsyncIterator[Telnet]:
    """A connection that has sent nothing yet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(to.telnet))
    try:
        yield Telnet(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def telnet(to: aiomonitor.Monitor) -> AsyncIterator[Telnet]:
    """A session at its prompt."""
    async with connected(to) as client:
        client.writer.write(IS_A_DUMB_TERMINAL)
        await client.until(PROMPT)
        yield client


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE)) as session:
        yield session


def line() -> int:
    """The line this is called from."""
    return sys._getframe(1).f_lineno


@contextlib.asynccontextmanager
async def sleeper(name: str) -> AsyncIterator[tuple[asyncio.Task[None], str]]:
    """A task and where it was spawned."""

    async def sleep() -> None:
        await asyncio.sleep(3600)

    spawned_at, task = line(), asyncio.create_task(sleep(), name=name)
    await asyncio.sleep(0)
    try:
        yield task, f"tests/integration/service/test_monitor.py:{spawned_at}"
    finally:
        task.cancel()
        await asyncio.wait([task])


def age(ledger: Ledger, name: str, seconds: float) -> None:
    for record in ledger.records():
        task = record()
        if task is not None and task.get_name() == name:
            info_of(task, ledger).created_at -= seconds


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - of another thread's doing
            await asyncio.sleep(0.01)


# ---------------------------------------------------------------- the views


async def test_telnet_ps_shows_where_a_task_was_spawned_and_its_age(attach, ledger):
    attached = attach()
    async with sleeper("feed-AAPL") as (_, location), telnet(attached) as client:
        age(ledger, "feed-AAPL", 3 * 3600 + 47 * 60)
        listed = await client.run("ps", "feed-AAPL")
        assert location in listed
        assert "3:47:" in listed
        assert "sleeping" in listed


async def test_the_web_list_shows_the_same(attach, ledger, http):
    attached = attach()
    async with sleeper("feed-AAPL") as (_, location):
        age(ledger, "feed-AAPL", 3 * 3600 + 47 * 60)
        async with http.post(f"{attached.web}/api/live-tasks") as answer:
            rows = {row["name"]: row for row in (await answer.json())["tasks"]}
        row = rows["feed-AAPL"]
        assert row["created_location"] == location
        assert row["since"].startswith("3:47:")
        assert row["coro"] == "sleeper.<locals>.sleep"
        url = f"{attached.web}/trace-running?task_id={row['task_id']}"
        async with http.get(url) as answer:
            trace = await answer.text()
        assert location in trace
        assert "await asyncio.sleep(3600)" in trace


async def test_the_web_page_counts_by_the_ledger(attach, ledger, http):
    attached = attach()
    async with sleeper("feed-AAPL"):
        async with http.post(f"{attached.web}/api/task-count") as answer:
            counted = (await answer.json())["value"]
        assert counted == sum(site.live for site in ledger.sites()) > 0
        terminated = {"task_type": "terminated"}
        async with http.post(f"{attached.web}/api/task-count", data=terminated) as answer:
            assert (await answer.json())["value"] == 0
        for page in ("", "about"):
            async with http.get(f"{attached.web}/{page}") as answer:
                assert answer.status == 200


async def test_telnet_where_and_stacktrace(attach, ledger):
    attached = attach()
    async with sleeper("feed-AAPL") as (_, location), telnet(attached) as client:
        (record,) = (each for each in ledger.records() if each.site.location == location)
        assert location in await client.run(f"where {record.serial}", "await asyncio.sleep(3600)")
        await client.run("where 0", "No task 0")
        await client.run("stacktrace", "run_forever")


async def test_the_task_factory_is_the_ledger_s_before_during_and_after(attach, ledger):
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    ledger.install(loop)
    factory = loop.get_task_factory()
    attached = attach()
    assert loop.get_task_factory() is factory
    await asyncio.to_thread(attached.close)
    assert loop.get_task_factory() is factory
    ledger.uninstall()
    assert loop.get_task_factory() is before


async def test_closing_does_not_bring_back_a_ledger_that_was_taken_out(attach, ledger):
    before = asyncio.get_running_loop().get_task_factory()
    attached = attach()
    ledger.uninstall()
    await asyncio.to_thread(attached.close)
    assert asyncio.get_running_loop().get_task_factory() is before


# ---------------------------------------------------------------- what is refused


async def test_cancel_signal_and_console_are_refused_and_the_prompt_comes_back(attach, ledger):
    attached = attach()
    async with sleeper("feed-AAPL") as (task, _), telnet(attached) as client:
        (serial,) = (record.serial for record in ledger.records() if record() is task)
        await client.run(f"cancel {serial}", "qcfeed orphans --reap")
        await client.run("signal SIGTERM", "this view is read-only")
        await client.run("console", "--monitor-console")
        await client.run("ps", "feed-AAPL")
        assert not task.cancelling()


async def test_the_web_s_cancel_is_refused(attach, ledger, http):
    attached = attach()
    async with sleeper("feed-AAPL") as (task, _):
        async with http.post(f"{attached.web}/api/live-tasks") as answer:
            serials = [row["task_id"] for row in (await answer.json())["tasks"]]
        for serial in serials:
            async with http.delete(f"{attached.web}/api/task?task_id={serial}") as answer:
                assert answer.status == 404
                assert "qcfeed orphans --reap" in (await answer.json())["msg"]
        assert not task.cancelling()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:{port}"},
        {"Host": "127.0.0.1:1"},
        {"Host": "127.0.0.1"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:{port}"},  # our address by another name, unlike Host
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "null"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/api/live-tasks"), ("DELETE", "/api/task?task_id=1"), ("GET", "/")],
)
async def test_a_foreign_host_or_origin_is_refused(attach, http, headers, method, path):
    attached = attach()
    told = {key: value.format(port=port_of(attached.web)) for key, value in headers.items()}
    async with http.request(method, attached.web + path, headers=told) as answer:
        assert answer.status == 403
        assert (await answer.json()).keys() == {"msg", "detail"}


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
async def test_our_own_page_may_ask(attach, http, name):
    attached = attach()
    own = f"{name}:{port_of(attached.web)}"
    headers = {"Host": own, "Origin": f"http://{own}"}
    async with http.post(f"{attached.web}/api/live-tasks", headers=headers) as answer:
        assert answer.status == 200


async def test_the_console_runs_code_when_asked_for(attach, caplog):
    attached = attach(monitor_console=True)
    assert "can run code" in caplog.text
    async with telnet(attached) as client:
        await client.run("console", "Try: await asyncio.sleep")
        shown = await client.until(r"(?<!monitor )>>> ")
        assert (
            PROMPT not in shown.rpartition("console\r")[2]
        )  # otherwise two prompts would read the input
        await client.run("6 * 7", "42")
        await asyncio.to_thread(attached.close)
    assert not threads()


async def test_a_web_page_cannot_type_into_the_monitor(attach, caplog):
    """A browser sends any body in an HTTP POST, also a telnet negotiation and commands."""
    attached = attach(monitor_console=True)
    async with connected(attached) as client:
        body = IS_A_DUMB_TERMINAL + b"console\r" + b"6 * 7\r"
        client.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n" + body)
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                while piece := await client.reader.read(65_536):
                    client.raw += piece
    assert "monitor" not in _plain(client.raw)
    assert "42" not in _plain(client.raw)
    assert "does not negotiate" in caplog.text


async def test_the_console_opens_no_port(attach):
    attached = attach(monitor_console=True)
    before = _listening()
    async with telnet(attached) as client:
        await client.run("console", "Try: await asyncio.sleep")
        assert _listening() == before
        await client.until(r"(?<!monitor )>>> ")
        await client.run("6 * 7", "42")
        await asyncio.to_thread(attached.close)


def _listening() -> set[int]:
    """The TCP ports on which this process listens."""
    return {
        each.laddr.port
        for each in psutil.Process().net_connections("tcp")
        if each.status == "LISTEN"
    }


async def test_telnet_sessions_are_bounded(attach, monkeypatch):
    monkeypatch.setattr(aiomonitor, "MAX_SESSIONS", 1)
    attached = attach()
    async with telnet(attached) as first:
        async with connected(attached) as second, asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                assert await second.reader.read(1) == b""
        await first.run("ps", "Task ID")


# ---------------------------------------------------------------- ports


async def test_two_side_by_side_have_ports_of_their_own(attach):
    ports = [port_of(where) for _ in "ab" for m in [attach()] for where in (m.telnet, m.web)]
    assert len(set(ports)) == 4
    assert all(ports)


async def test_given_ports_are_taken_and_free_again_after_close(attach):
    with refusing_port() as telnet_port, refusing_port() as web_port:  # not free for others
        ports = {"monitor_port": telnet_port, "monitor_web_port": web_port}
        first = attach(**ports)
        assert (port_of(first.telnet), port_of(first.web)) == (telnet_port, web_port)
        await asyncio.to_thread(first.close)
        assert not threads()
        second = attach(**ports)
        assert (second.telnet, second.web) == (first.telnet, first.web)


@pytest.mark.parametrize("option", ["monitor_port", "monitor_web_port"])
@pytest.mark.parametrize("shared", [False, True], ids=["plain", "SO_REUSEPORT"])
async def test_a_taken_port_is_an_error_at_once(attach, monkeypatch, option, shared):
    monkeypatch.setattr(
        aiomonitor, "START_TIMEOUT", 100 * PATIENCE
    )  # the test does not wait that long
    with socket.socket() as holder:
        if shared:  # as aiomonitor's own web view does: two would answer alternately
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        with pytest.raises(StartError, match=rf"\b{taken}\b") as caught:
            attach(**{option: taken})
        assert f"--{option.replace('_', '-')} 0" in (caught.value.hint or "")
    assert not threads()


async def test_nobody_can_share_our_ports(attach):
    attached = attach()
    for address in (attached.telnet, attached.web):
        with socket.socket() as intruder:
            intruder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            with pytest.raises(OSError, match="in use"):
                intruder.bind(("127.0.0.1", port_of(address)))


@pytest.mark.parametrize("how", ["fails", "hangs"])
async def test_a_failing_start_is_reported(attach, monkeypatch, how):
    async def broken(*_: object) -> None:
        if how == "fails":
            raise RuntimeError("no templates")
        await asyncio.Event().wait()

    monkeypatch.setattr(aiomonitor_views, "web_application", broken)
    monkeypatch.setattr(aiomonitor, "START_TIMEOUT", 0.2 if how == "hangs" else PATIENCE)
    why = "no templates" if how == "fails" else "Timeout"
    with refusing_port() as free:
        with pytest.raises(StartError, match=why) as caught:
            attach(monitor_port=free)
        assert "--no-monitor" in (caught.value.hint or "")
        assert not threads()
        socket.create_server(("127.0.0.1", free)).close()


# ---------------------------------------------------------------- clients that misbehave, and the end


async def test_close_ends_open_sessions_and_says_nothing(attach, http, capfd, caplog, monkeypatch):
    monkeypatch.setattr(
        aiomonitor, "NEGOTIATION_TIMEOUT", 100 * PATIENCE
    )  # nor has it ended a session
    monkeypatch.setattr(aiomonitor, "CLOSE_TIMEOUT", PATIENCE)
    attached = attach()
    async with connected(attached), telnet(attached) as client, http.get(attached.web):
        await asyncio.to_thread(attached.close)
        assert not threads()
        await asyncio.wait_for(client.reader.read(), PATIENCE)
    await asyncio.to_thread(attached.close)  # idempotent
    assert capfd.readouterr() == ("", "")
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


async def test_a_client_that_does_not_negotiate_is_dropped(attach, monkeypatch):
    monkeypatch.setattr(aiomonitor, "NEGOTIATION_TIMEOUT", 0.05)
    sessions = count_sessions(monkeypatch)
    attached = attach()
    async with connected(attached) as client:
        await asyncio.wait_for(client.reader.read(), PATIENCE)
    await until(lambda: sessions == {"begun": 1, "ended": 1})


async def test_a_client_that_negotiates_stays_for_as_long_as_it_likes(attach, monkeypatch):
    limits: list[asyncio.Timeout] = []

    interact = aiomonitor.Monitor._interact

    async def noted(views: object, limit: asyncio.Timeout, client: object) -> None:
        limits.append(limit)
        await interact(views, limit, client)

    monkeypatch.setattr(aiomonitor.Monitor, "_interact", noted)
    attached = attach()
    async with telnet(attached) as client:
        await client.run("ps", "Created Location")
        (limit,) = limits
        assert limit.when() is None


@pytest.mark.parametrize("negotiated", [True, False])
async def test_a_client_that_resets_leaves_nothing_behind(
    attach, monkeypatch, negotiated, capfd, caplog
):
    # A session that has not negotiated ends only after its timeout.
    monkeypatch.setattr(aiomonitor, "NEGOTIATION_TIMEOUT", PATIENCE if negotiated else 0.5)
    sessions = count_sessions(monkeypatch)
    attached = attach()
    for _ in range(5):
        async with telnet(attached) if negotiated else connected(attached) as client:
            linger = struct.pack("ii", 1, 0)
            theirs = client.writer.get_extra_info("socket")
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    await until(lambda: sessions == {"begun": 5, "ended": 5})
    assert capfd.readouterr() == ("", "")
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def count_sessions(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    counts = {"begun": 0, "ended": 0}
    session: Callable[..., Awaitable[None]] = aiomonitor.Monitor._session

    async def counted(*arguments: object) -> None:
        counts["begun"] += 1
        try:
            await session(*arguments)
        finally:
            counts["ended"] += 1

    monkeypatch.setattr(aiomonitor.Monitor, "_session", counted)
    return counts


async def test_a_session_that_fails_fails_alone(attach, monkeypatch, caplog):
    async def broken(*_: object) -> None:
        raise RuntimeError("planted")

    with monkeypatch.context() as patched:
        patched.setattr(aiomonitor.Monitor, "_interact", broken)
        attached = attach()
        async with connected(attached) as client:
            client.writer.write(IS_A_DUMB_TERMINAL)
            await asyncio.wait_for(client.reader.read(), PATIENCE)
    await until(lambda: "planted" in caplog.text)
    async with telnet(attached) as client:
        await client.run("ps", "Created Location")


async def test_the_views_answer_while_the_loop_is_stuck(attach):
    attached = attach()
    answers: list[int] = []

    def ask() -> None:
        with socket.create_connection(
            ("127.0.0.1", port_of(attached.web)), timeout=PATIENCE
        ) as client:
            host = attached.web.removeprefix("http://").encode()
            client.sendall(b"POST /api/live-tasks HTTP/1.1\r\nHost: %b\r\n\r\n" % host)
            answers.append(int(client.recv(65_536).split()[1]))

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join(PATIENCE)  # in the loop's thread: the loop does not turn meanwhile
    assert answers == [200]
