"""The tools: how each is asked about a running program, and when it blames one."""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.leaks import places
from benchmarks.leaks.inside import LOOK_EVERY
from benchmarks.leaks.judging import Place, Said, grew_most
from benchmarks.leaks.running import ROOT, NotAvailableError, Running, default_python, output
from qcfeed.diagnose.diagnostics_findings import UNREAD

QCFEED = Path(sys.executable).with_name("qcfeed")
LEAST_TASKS = 10
LEAST_BYTES = 20_000
"""Growth over three lists, from which on a person would blame a group."""

Ask = Callable[[Running], Awaitable[Said]]


@dataclass(frozen=True)
class Tool:
    """``inside`` runs in the program (benchmarks/leaks/inside.py). ``ask`` returns at the first blame, or
    when the program ends."""

    name: str
    inside: str
    ask: Ask
    python: Callable[[], Path] = default_python


async def _qcfeed(running: Running) -> Said:
    command = [
        str(default_python().with_name("qcfeed")),
        "--instance",
        running.instance,
        "diagnose",
    ]
    while not await running.ends(within=1):
        status, out, err = await output([*command, "-o", "json"], running.environment)
        answer = json.loads(out) if out else None
        if answer is None or any(each["cause"] == UNREAD for each in answer["findings"]):
            if await running.ends(within=5):  # it was asked at its end
                break
            raise NotAvailableError(f"qcfeed diagnose: exit status {status}: {err.strip()[-200:]}")
        if status == 1 and (blamed := places.of_diagnose(answer)):
            return Said(True, blamed, running.seconds)
    return Said(False)


async def _pyleak(running: Running) -> Said:
    """pyleak looks once, when the program ends."""
    async for line in running.lines():
        for blamed, (_, shown) in places.of_groups(line).items():  # the largest group is the first
            return Said(True, (blamed, *shown), running.seconds)
    return Said(False)


async def _tracemalloc(running: Running) -> Said:
    lists: list[Mapping[Place, int]] = []
    async for line in running.lines():
        groups = places.of_groups(line)
        lists.append({each: size for each, (size, _) in groups.items()})
        if blamed := grew_most(lists, LEAST_BYTES):
            return Said(True, (blamed, *groups[blamed][1]), running.seconds)
    return Said(False)


async def _aiomonitor(running: Running) -> Said:
    url = f"http://127.0.0.1:{json.loads(running.first_lines[0])['port']}"

    async def fetch(path: str, form: dict[str, str] | None = None) -> str:
        data = urllib.parse.urlencode(form).encode() if form else None
        try:
            return await asyncio.to_thread(_fetch, url + path, data)
        except OSError as error:
            raise NotAvailableError(f"aiomonitor's web interface: {error}") from error

    async def groups() -> dict[Place, list[str]]:
        every = {"filter": "", "persistent": "false"}
        return places.of_live_tasks(json.loads(await fetch("/api/live-tasks", every)))

    async def details(task: str) -> tuple[Place, ...]:
        return places.of_trace(await fetch(f"/trace-running?task_id={task}"))

    return await _compare_lists(running, groups, details)


def _fetch(url: str, data: bytes | None) -> str:
    with urllib.request.urlopen(url, data, timeout=60) as answer:
        return str(answer.read().decode())


async def _asyncio_ps(running: Running) -> Said:
    async def asyncio_tool(verb: str) -> str:
        command = [str(running.python), "-m", "asyncio", verb, str(running.pid)]
        _, out, err = await output(command, running.environment)
        # A reading can fail while tasks come and go; then it is worth another try.
        for _ in range(5):
            if not err and "Error" not in out[:20]:
                return out
            if await running.ends(within=0.2):
                return ""
            _, out, err = await output(command, running.environment)
        raise NotAvailableError(f"python -m asyncio {verb}: {(out + err).strip()[-200:]}")

    async def groups() -> dict[Place, list[str]]:
        return places.of_ps(await asyncio_tool("ps"))

    async def details(task: str) -> tuple[Place, ...]:
        return places.of_pstree(await asyncio_tool("pstree")).get(task, ())

    return await _compare_lists(running, groups, details)


async def _compare_lists(
    running: Running,
    groups: Callable[[], Awaitable[dict[Place, list[str]]]],
    details: Callable[[str], Awaitable[tuple[Place, ...]]],
) -> Said:
    """Take a list of tasks regularly. Of a blamed group, the details of its last task are read too."""
    lists: list[Mapping[Place, int]] = []
    while not await running.ends(within=LOOK_EVERY):
        try:
            listed = await groups()
        except NotAvailableError:
            if await running.ends(within=5):  # meanwhile
                break
            raise
        lists.append(Counter({each: len(tasks) for each, tasks in listed.items()}))
        if blamed := grew_most(lists, LEAST_TASKS):
            more = await details(listed[blamed][-1])
            return Said(True, (blamed, *more), running.seconds)
    return Said(False)


def _python_3_14() -> Path:
    """CPython 3.14, whose `asyncio ps` reads another process."""
    for folder in (ROOT, *ROOT.parents):
        if (interpreter := folder / ".venv-3.14" / "bin" / "python").exists():
            return interpreter
    raise NotAvailableError("no .venv-3.14 (make test-all VERSIONS=3.14 makes it)")


TOOLS = (
    Tool("qcfeed", "qcfeed", _qcfeed),
    Tool("pyleak", "pyleak", _pyleak),
    Tool("aiomonitor", "aiomonitor", _aiomonitor),
    Tool("asyncio ps", "nothing", _asyncio_ps, _python_3_14),
    Tool("tracemalloc", "tracemalloc", _tracemalloc),
)
