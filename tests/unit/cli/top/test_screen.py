"""The keys, pressed by Textual's own pilot, over a real control plane."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from qcfeed import Attached, attach
from qcfeed.cli.top.actions import Actions, Plan
from qcfeed.cli.top.observer import Observer
from qcfeed.cli.top.screen import Told
from qcfeed.control import paths
from tests.support import full_screen
from tests.support.full_screen import Screen
from tests.support.patience import PATIENCE


@pytest_asyncio.fixture
async def program() -> AsyncIterator[Attached]:
    """This very program, attached."""
    async with attach("8006") as attached:
        yield attached


@contextlib.asynccontextmanager
async def shown(size: tuple[int, int] = (80, 24)) -> AsyncIterator[Screen]:
    async with full_screen.shown(paths.socket_path("8006"), size, timeout=PATIENCE) as screen:
        yield screen


async def test_from_the_guilty_line_to_its_end(
    program: Attached, sleepers: Callable[..., None]
) -> None:
    sleepers(7, orphaned=True)
    sleepers(2)
    async with shown() as screen:
        await screen.until(lambda: any("7" in row for row in screen.rows))
        assert "7 orphaned" in screen.said("head")
        assert "reap 7 orphans? [y/N]" in await screen.asked("r")
        await screen.press("enter")  # no is what a person says who says nothing
        assert not screen.asks
        await screen.asked("r")
        assert "7 tasks" in await screen.told("y")
        await screen.press("escape")
        await screen.until(lambda: "0 orphaned" in screen.said("head"))


async def test_a_location_is_opened_then_a_task_then_it_is_cancelled(
    program: Attached, sleepers: Callable[..., None]
) -> None:
    sleepers(3, name="worker")
    async with shown() as screen:
        await opened(screen, 3)
        assert "worker" in await screen.told("down", "enter")
        assert "cancel 1 task? [y/N]" in await screen.asked("c")
        await screen.told("y")
        await screen.press("escape")
        await screen.until(lambda: len(screen.rows) == 2)


async def opened(screen: Screen, tasks: int) -> None:
    """The tasks of the line that spawns them here."""
    await screen.until(lambda: screen.rows)
    await screen.press("slash", *"conftest", "enter")
    await screen.until(lambda: len(screen.rows) == 1)
    await screen.press("enter")
    await screen.until(lambda: len(screen.rows) == tasks)


async def test_the_cursor_stays_on_its_row_while_others_come_and_in_its_place_when_it_goes(
    program: Attached, sleepers: Callable[..., list[Any]]
) -> None:
    first = sleepers(3)
    async with shown() as screen:
        await opened(screen, 3)
        await screen.press("s", "down")  # the newest first
        serial = screen.chosen[0]
        sleepers(2)
        await screen.until(lambda: len(screen.rows) == 5)
        await screen.pause()
        assert (screen.chosen[0], screen.table.cursor_row) == (serial, 3)
        first[1].cancel()
        await screen.until(lambda: len(screen.rows) == 4)
        assert screen.table.cursor_row == 3
        assert screen.chosen[0] != serial


async def test_home_and_end_go_to_the_first_row_and_the_last(
    program: Attached, sleepers: Callable[..., None]
) -> None:
    sleepers(30)
    async with shown() as screen:
        await opened(screen, 30)
        for key, row in {"end": 29, "k": 28, "j": 29, "home": 0}.items():
            await screen.press(key)
            assert screen.table.cursor_row == row


async def test_sorting_and_words_outlast_what_comes_anew(
    program: Attached, sleepers: Callable[..., None]
) -> None:
    sleepers(2, name="apple")
    sleepers(2, name="価格フィード" * 20)  # wide letters, more of them than there is room for
    async with shown() as screen:
        await screen.until(lambda: screen.rows)
        await screen.press("slash", *"conftest", "enter", "enter")
        await screen.until(lambda: len(screen.rows) == 4)
        await screen.press("s", "s", "s", "slash", *"e", "enter")
        about = screen.said("about")
        assert about.startswith(
            f"tasks of {screen.app.state.site}, the oldest; by NAME; only 'e'; "
        )
        looks = len(screen.looks)
        await screen.until(lambda: len(screen.looks) > looks + 3)
        assert screen.said("about") == about
        assert screen.table.virtual_size.width <= 80


async def test_a_key_that_is_pressed_again_before_the_answer_asks_once(
    program: Attached, sleepers: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    sleepers(3, orphaned=True)
    answer, asked = threading.Event(), []

    def slow(self: Actions, plan: Callable[[Actions], Plan] = Actions.reap) -> Plan:
        asked.append(self)
        answer.wait(full_screen.PATIENCE)
        return plan(self)

    monkeypatch.setattr(Actions, "reap", slow)
    async with shown() as screen:
        await screen.until(lambda: "3 orphaned" in screen.said("head"))
        await screen.press("r", "r", "r")
        assert screen.said("about") == "asking ..."
        answer.set()
        await screen.until(lambda: screen.asks)
        await screen.press("n")
        assert screen.said("about") == "nothing was done"
        looks = len(screen.looks)
        await screen.until(lambda: len(screen.looks) > looks + 2)
        assert (len(asked), screen.asks) == (1, False)


async def test_it_says_that_the_service_is_away_and_comes_back(
    program: Attached, sleepers: Callable[..., None]
) -> None:
    async with shown() as screen:
        await screen.until(lambda: "0 orphaned" in screen.said("head"))
        await program.__aexit__()
        await screen.until(lambda: screen.said("head").startswith("AWAY for"))
        async with attach("8006"):
            await screen.until(lambda: "restarted 1 time" in screen.said("head"))
            assert not screen.said("head").startswith("AWAY")


async def test_what_was_planned_for_a_service_is_not_done_to_the_one_that_came_after_it(
    program: Attached, sleepers: Callable[..., None]
) -> None:
    sleepers(3, orphaned=True)
    async with shown() as screen:
        await screen.until(lambda: "3 orphaned" in screen.said("head"))
        await screen.asked("r")
        await program.__aexit__()
        async with attach("8006"):
            sleepers(2, orphaned=True)
            assert "the service was restarted since this was planned" in await screen.told("y")
            assert screen.title == "error"
            await screen.press("escape")
            await screen.until(lambda: "2 orphaned" in screen.said("head"))


async def test_a_yes_to_a_service_that_has_gone_says_so(program: Attached) -> None:
    async with shown() as screen:
        await screen.until(lambda: screen.rows)
        await screen.asked("c")
        await program.__aexit__()
        assert "hint: " in await screen.told("y")
        assert screen.title == "error"
        await screen.press("escape")
        await screen.until(lambda: screen.said("head").startswith("AWAY for"))


@pytest.mark.parametrize("over", [(), ("question_mark",), ("slash", "x")])
async def test_ctrl_c_quits_from_everywhere(program: Attached, over: tuple[str, ...]) -> None:
    async with shown() as screen:
        await screen.press(*over, "ctrl+c")
        await screen.until(lambda: not screen.app.is_running)


async def test_another_list_closes_the_field_for_words(program: Attached) -> None:
    async with shown() as screen:
        await screen.press("slash", *"abc", "tab")
        assert "[2 Feeds]" in screen.said("tabs")
        assert screen.app.focused is screen.table
        await screen.press("shift+tab")
        assert "only 'abc'" in screen.said("about")


async def test_every_key_of_a_list_shows_it_and_the_runbooks_are_there(program: Attached) -> None:
    async with shown() as screen:
        for key, title in zip("2345", ("Feeds", "Subscribers", "Orphans", "Findings"), strict=True):
            await screen.press(key)
            assert f"[{key} {title}]" in screen.said("tabs")
        await screen.press("tab")
        assert "[1 Tasks]" in screen.said("tabs")
        await screen.press("question_mark")
        assert "another list" in screen.pane
        await screen.press("escape")
        await screen.told("b")
        assert screen.title.startswith("runbook")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (40, 10)])
async def test_it_fits_its_terminal(
    size: tuple[int, int], program: Attached, sleepers: Callable[..., None]
) -> None:
    sleepers(5)
    async with shown(size) as screen:
        await screen.until(lambda: len(screen.rows) >= 1)
        assert screen.table.virtual_size.width <= size[0]
        assert screen.app.screen.virtual_size.width <= size[0]


async def test_an_unforeseen_fault_of_the_asking_thread_ends_it_and_is_told(
    program: Attached, monkeypatch: pytest.MonkeyPatch
) -> None:

    def broken(self: Observer, wanted: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(Observer, "look", broken)
    with pytest.raises(ZeroDivisionError, match="planted"):
        async with shown() as screen:
            await screen.until(lambda: not screen.app.is_running)


async def test_what_comes_while_the_screen_is_taken_down_is_not_drawn(program: Attached) -> None:
    async with shown() as screen:
        await screen.until(lambda: screen.looks)
    before = screen.app.state.seen
    screen.app.on_told(Told(screen.looks[-1]))
    screen.app.on_told(Told(Plan("reap?", [], None)))
    assert screen.app.state.seen is before
