"""Scripts for other programs, run in this one as the interpreter would run them there."""

from __future__ import annotations

import ast
import asyncio
import gc
import json
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qcfeed.inject import script
from tests.support.patience import PATIENCE

LOOK = "qcfeed.inject.injected.look"
STANDARD = {"__future__"} | sys.stdlib_module_names


@pytest.fixture
def command(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(PATIENCE)
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        yield listener


def report(command: socket.socket) -> dict[str, Any]:
    connection, _ = command.accept()
    with connection, connection.makefile() as lines:
        found = json.loads(lines.readline())
        connection.sendall(b"+")
    return dict(found)


async def forever() -> None:
    await asyncio.Event().wait()


async def test_looking_reports_the_tasks_and_leaves_the_program_as_it_was(
    tmp_path: Path, command: socket.socket
) -> None:
    tasks = [asyncio.create_task(forever()) for _ in range(3)]
    await asyncio.sleep(0)
    text = script.build(str(tmp_path), LOOK, {}, PATIENCE)
    modules, path, names = set(sys.modules), list(sys.path), dict[str, Any]()
    exec(compile(text, "script.py", "exec"), names)
    found = await asyncio.to_thread(report, command)
    [loop] = [each for each in found["loops"] if each["thread"] == "MainThread"]
    mine = [group for group in loop["groups"] if group["coroutine"] == "forever"]
    assert [(group["count"], group["waiting"]) for group in mine] == [(3, "Event.wait")]
    assert "_qcfeed" not in names
    assert sys.path == path
    added = {name.partition(".")[0] for name in set(sys.modules) - modules}
    assert added <= STANDARD
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def test_nothing_is_done_and_the_directory_removed_if_no_command_listens(tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    text = script.build(str(room), LOOK, {}, PATIENCE)
    (room / "script.py").write_text(text)
    before = threading.active_count()
    exec(compile(text, "script.py", "exec"), {})
    while room.exists():
        gc.collect()
    assert threading.active_count() == before


def test_an_error_of_the_work_is_reported_and_not_raised(
    tmp_path: Path, command: socket.socket
) -> None:
    text = script.build(str(tmp_path), "qcfeed.inject.injected.detach", {}, PATIENCE)
    text = text.replace("qcfeed.inject.resident", "sys")  # which cannot detach anything
    exec(compile(text, "script.py", "exec"), {})
    error = report(command)["error"]
    assert error["code"] == "bug"
    assert "AttributeError" in error["trace"]


def test_a_script_that_cannot_even_begin_raises_nothing(tmp_path: Path) -> None:
    text = script.build(str(tmp_path), LOOK, {}, PATIENCE)
    exec(compile(text.replace("begin.begin(", "begin.missing("), "script.py", "exec"), {})
    exec(compile(text.replace(").begin(", ").missing("), "script.py", "exec"), {})


@pytest.mark.parametrize("work", ["look", "attach", "detach"])
def test_every_module_that_is_sent_imports_only_the_standard_library(work: str) -> None:
    for name in script.modules(f"qcfeed.inject.injected.{work}"):
        assert name.startswith(("qcfeed.diagnostics.", "qcfeed.inject.injected."))
        for node in ast.walk(ast.parse(script._source(name))):
            imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            imported += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert {each.partition(".")[0] for each in imported} <= STANDARD | {"qcfeed"}
