"""The keys, pressed by Textual's own pilot, over a real control plane."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from textual.pilot import Pilot
from textual.widgets import DataTable, Static

from qcfeed import Attached, attach
from qcfeed.cli.top.looker import Looker
from qcfeed.cli.top.panes import Pane, Question
from qcfeed.cli.top.screen import Top
from qcfeed.control import paths
from qcfeed.control.client import ControlClient
from qcfeed.control.paths import Address

PATIENCE = 20.0


@pytest_asyncio.fixture
async def program() -> AsyncIterator[Attached]:
    """This very program, attached."""
    async with attach("8006") as attached:
        yield attached


def client() -> ControlClient:
    return ControlClient(Address(socket=paths.socket_path("8006")), timeout=5.0)


@contextlib.asynccontextmanager
async def shown(size: tuple[int, int] = (80, 24)) -> AsyncIterator[Pilot[None]]:
    app = Top(Looker(client), every=0.2)
    async with app.run_test(size=size) as pilot:
        yield pilot
    assert not [each for each in threading.enumerate() if each.name == "qcfeed-top"]
    if app.fault is not None:
        raise app.fault


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is on a screen has no event
            await asyncio.sleep(0.02)


def said(pilot: Pilot[None], name: str) -> str:
    return str(pilot.app.query_one(f"#{name}", Static).content)


def rows(pilot: Pilot[None]) -> list[list[str]]:
    table: DataTable[Any] = pilot.app.query_one(DataTable)
    return [[str(cell) for cell in table.get_row_at(at)] for at in range(table.row_count)]


def pane(pilot: Pilot[None]) -> str:
    return "\n".join(str(each.content) for each in pilot.app.screen.query(Static))


async def test_from_the_guilty_line_to_its_end(
    program: Attached, sleepers: Callable[..., None]
) -> None:
    sleepers(7, orphaned=True)
    sleepers(2)
    async with shown() as pilot:
        await until(lambda: any("7" in row for row in rows(pilot)))
        assert "7 orphaned" in said(pilot, "head")
        await pilot.press("r")
        await until(lambda: isinstance(pilot.app.screen, Question))
        assert "reap 7 orphans? [y/N]" in pane(pilot)
        await pilot.press("enter")  # no is what a person says who says nothing
        assert not isinstance(pilot.app.screen, Question)
        await pilot.press("r")
        await until(lambda: isinstance(pilot.app.screen, Question))
        await pilot.press("y")
        await until(lambda: isinstance(pilot.app.screen, Pane))
        assert "7 tasks" in pane(pilot)
        await pilot.press("escape")
        await until(lambda: "0 orphaned" in said(pilot, "head"))


async def test_a_location_is_opened_then_a_task_then_it_is_cancelled(
    program: Attached, sleepers: Callable[..., None]
) -> None:
    sleepers(3, name="worker")
    async with shown() as pilot:
        await until(lambda: len(rows(pilot)) >= 1)
        await pilot.press("slash", *"conftest", "enter")
        await until(lambda: len(rows(pilot)) == 1)
        await pilot.press("enter")
        await until(lambda: len(rows(pilot)) == 3)
        await pilot.press("down", "enter")
        await until(lambda: isinstance(pilot.app.screen, Pane))
        assert "worker" in pane(pilot)
        await pilot.press("c")
        await until(lambda: isinstance(pilot.app.screen, Question))
        assert "cancel 1 task? [y/N]" in pane(pilot)
        await pilot.press("y")
        await until(lambda: isinstance(pilot.app.screen, Pane))
        await pilot.press("escape")
        await until(lambda: len(rows(pilot)) == 2)


async def test_the_cursor_stays_on_its_row_while_others_come(
    program: Attached, sleepers: Callable[..., None]
) -> None:
    sleepers(3)
    async with shown() as pilot:
        await until(lambda: len(rows(pilot)) >= 1)
        await pilot.press("slash", *"conftest", "enter")
        await pilot.press("enter")
        await until(lambda: len(rows(pilot)) == 3)
        await pilot.press("s", "S", "down")  # the newest first
        table: DataTable[Any] = pilot.app.query_one(DataTable)
        serial = rows(pilot)[table.cursor_row][0]
        sleepers(2)
        await until(lambda: len(rows(pilot)) == 5)
        await pilot.pause()
        assert rows(pilot)[table.cursor_row][0] == serial


async def test_it_says_that_the_service_is_away_and_comes_back(
    program: Attached, sleepers: Callable[..., None]
) -> None:
    async with shown() as pilot:
        await until(lambda: "0 orphaned" in said(pilot, "head"))
        await program.__aexit__()
        await until(lambda: said(pilot, "head").startswith("AWAY for"))
        async with attach("8006"):
            await until(lambda: "restarted 1 time" in said(pilot, "head"))
            assert not said(pilot, "head").startswith("AWAY")


async def test_every_key_of_a_list_shows_it_and_the_runbooks_are_there(program: Attached) -> None:
    async with shown() as pilot:
        for key, title in zip("2345", ("Feeds", "Subscribers", "Orphans", "Findings"), strict=True):
            await pilot.press(key)
            assert f"[{key} {title}]" in said(pilot, "tabs")
        await pilot.press("tab")
        assert "[1 Tasks]" in said(pilot, "tabs")
        await pilot.press("question_mark")
        assert "another list" in pane(pilot)
        await pilot.press("escape", "b")
        await until(lambda: isinstance(pilot.app.screen, Pane))


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (40, 10)])
async def test_it_fits_its_terminal(
    size: tuple[int, int], program: Attached, sleepers: Callable[..., None]
) -> None:
    sleepers(5)
    async with shown(size) as pilot:
        await until(lambda: len(rows(pilot)) >= 1)
        table: DataTable[Any] = pilot.app.query_one(DataTable)
        assert table.virtual_size.width <= size[0]
        assert pilot.app.screen.virtual_size.width <= size[0]


async def test_an_unforeseen_fault_of_the_asking_thread_ends_it_and_is_told(
    program: Attached, monkeypatch: pytest.MonkeyPatch
) -> None:

    def broken(self: Looker, wanted: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(Looker, "look", broken)
    with pytest.raises(ZeroDivisionError, match="planted"):
        async with shown() as pilot:
            await until(lambda: not pilot.app.is_running)
