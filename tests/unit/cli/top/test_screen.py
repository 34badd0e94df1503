"""The keys, pressed by Textual's own pilot, over a real control plane."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from qcfeed import Attached, attach
from qcfeed.cli.top.actions import ProposedAction, ScreenActions
from qcfeed.cli.top.application import JobResult
from qcfeed.cli.top.observer import Observer
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


async def test_orphans_are_reaped_after_a_yes(
    program: Attached, sleepers: Callable[..., None]
) -> None:
    sleepers(7, orphaned=True)
    sleepers(2)
    async with shown() as screen:
        await screen.until(lambda: any("7" in row for row in screen.rows))
        assert "7 orphaned" in screen.text("head")
        assert "reap 7 orphans? [y/N]" in await screen.question("r")
        await screen.press("enter")  # Enter alone means no
        assert not screen.has_question
        await screen.question("r")
        assert "7 tasks" in await screen.opened("y")
        await screen.press("escape")
        await screen.until(lambda: "0 orphaned" in screen.text("head"))


async def test_a_location_is_opened_then_a_task_then_it_is_cancelled(
    program: Attached, sleepers: Callable[..., None]
) -> None:
    sleepers(3, name="worker")
    async with shown() as screen:
        await opened(screen, 3)
        assert "worker" in await screen.opened("down", "enter")
        assert "cancel 1 task? [y/N]" in await screen.question("c")
        await screen.opened("y")
        await screen.press("escape")
        await screen.until(lambda: len(screen.rows) == 2)


async def opened(screen: Screen, tasks: int) -> None:
    """The tasks of the line that spawns them here."""
    await screen.until(lambda: screen.rows)
    await screen.press("slash", *"conftest", "enter")
    await screen.until(lambda: len(screen.rows) == 1)
    await screen.press("enter")
    await screen.until(lambda: len(screen.rows) == tasks)


async def test_the_cursor_stays_on_its_row_or_else_at_its_position(
    program: Attached, sleepers: Callable[..., list[Any]]
) -> None:
    first = sleepers(3)
    async with shown() as screen:
        await opened(screen, 3)
        await screen.press("s", "down")  # the newest first
        serial = screen.current_row[0]
        sleepers(2)
        await screen.until(lambda: len(screen.rows) == 5)
        await screen.pause()
        assert (screen.current_row[0], screen.table.cursor_row) == (serial, 3)
        first[1].cancel()
        await screen.until(lambda: len(screen.rows) == 4)
        assert screen.table.cursor_row == 3
        assert screen.current_row[0] != serial


async def test_home_and_end_go_to_the_first_row_and_the_last(
    program: Attached, sleepers: Callable[..., None]
) -> None:
    sleepers(30)
    async with shown() as screen:
        await opened(screen, 30)
        for key, row in {"end": 29, "k": 28, "j": 29, "home": 0}.items():
            await screen.press(key)
            assert screen.table.cursor_row == row


async def test_order_and_filter_survive_refreshes(
    program: Attached, sleepers: Callable[..., None]
) -> None:
    sleepers(2, name="apple")
    sleepers(2, name="価格フィード" * 20)  # wide letters, more of them than there is room for
    async with shown() as screen:
        await screen.until(lambda: screen.rows)
        await screen.press("slash", *"conftest", "enter", "enter")
        await screen.until(lambda: len(screen.rows) == 4)
        await screen.press("s", "s", "s", "slash", *"e", "enter")
        about = screen.text("about")
        assert about.startswith(f"oldest tasks of {screen.app.state.site}; by NAME; filter 'e'; ")
        count = len(screen.refreshes)
        await screen.until(lambda: len(screen.refreshes) > count + 3)
        assert screen.text("about") == about
        assert screen.table.virtual_size.width <= 80


async def test_a_key_pressed_again_before_the_answer_requests_once(
    program: Attached, sleepers: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    sleepers(3, orphaned=True)
    answer, asked = threading.Event(), []

    def slow(
        self: ScreenActions, plan: Callable[[ScreenActions], ProposedAction] = ScreenActions.reap
    ) -> ProposedAction:
        asked.append(self)
        answer.wait(full_screen.PATIENCE)
        return plan(self)

    monkeypatch.setattr(ScreenActions, "reap", slow)
    async with shown() as screen:
        await screen.until(lambda: "3 orphaned" in screen.text("head"))
        await screen.press("r", "r", "r")
        assert screen.text("about") == "waiting for the service ..."
        answer.set()
        await screen.until(lambda: screen.has_question)
        await screen.press("n")
        assert screen.text("about") == "nothing was done"
        count = len(screen.refreshes)
        await screen.until(lambda: len(screen.refreshes) > count + 2)
        assert (len(asked), screen.has_question) == (1, False)


async def test_a_service_that_goes_away_and_comes_back(
    program: Attached, sleepers: Callable[..., None]
) -> None:
    async with shown() as screen:
        await screen.until(lambda: "0 orphaned" in screen.text("head"))
        await program.__aexit__()
        await screen.until(lambda: screen.text("head").startswith("AWAY for"))
        async with attach("8006"):
            await screen.until(lambda: "restarted 1 time" in screen.text("head"))
            assert not screen.text("head").startswith("AWAY")


async def test_a_plan_is_refused_after_a_restart(
    program: Attached, sleepers: Callable[..., None]
) -> None:
    sleepers(3, orphaned=True)
    async with shown() as screen:
        await screen.until(lambda: "3 orphaned" in screen.text("head"))
        await screen.question("r")
        await program.__aexit__()
        async with attach("8006"):
            sleepers(2, orphaned=True)
            assert "the service was restarted after this was planned" in await screen.opened("y")
            assert screen.title == "error"
            await screen.press("escape")
            await screen.until(lambda: "2 orphaned" in screen.text("head"))


async def test_a_yes_after_the_service_has_gone_is_an_error(program: Attached) -> None:
    async with shown() as screen:
        await screen.until(lambda: screen.rows)
        await screen.question("c")
        await program.__aexit__()
        assert "hint: " in await screen.opened("y")
        assert screen.title == "error"
        await screen.press("escape")
        await screen.until(lambda: screen.text("head").startswith("AWAY for"))


@pytest.mark.parametrize("over", [(), ("question_mark",), ("slash", "x")])
async def test_ctrl_c_quits_from_everywhere(program: Attached, over: tuple[str, ...]) -> None:
    async with shown() as screen:
        await screen.press(*over, "ctrl+c")
        await screen.until(lambda: not screen.app.is_running)


async def test_another_list_closes_the_filter_field(program: Attached) -> None:
    async with shown() as screen:
        await screen.press("slash", *"abc", "tab")
        assert "[2 Feeds]" in screen.text("tabs")
        assert screen.app.focused is screen.table
        await screen.press("shift+tab")
        assert "filter 'abc'" in screen.text("about")


async def test_keys_show_every_list_the_help_and_a_runbook(program: Attached) -> None:
    async with shown() as screen:
        for key, title in zip("2345", ("Feeds", "Subscribers", "Orphans", "Findings"), strict=True):
            await screen.press(key)
            assert f"[{key} {title}]" in screen.text("tabs")
        await screen.press("tab")
        assert "[1 Tasks]" in screen.text("tabs")
        await screen.press("question_mark")
        assert "show another list" in screen.pane
        await screen.press("escape")
        await screen.opened("b")
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


async def test_an_unexpected_exception_in_the_worker_is_raised(
    program: Attached, monkeypatch: pytest.MonkeyPatch
) -> None:

    def broken(self: Observer, target: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(Observer, "refresh", broken)
    with pytest.raises(ZeroDivisionError, match="planted"):
        async with shown() as screen:
            await screen.until(lambda: not screen.app.is_running)


async def test_results_during_shutdown_are_ignored(program: Attached) -> None:
    async with shown() as screen:
        await screen.until(lambda: screen.refreshes)
    before = screen.app.state.snapshot
    screen.app.take_result(JobResult(screen.refreshes[-1]))
    screen.app.take_result(JobResult(ProposedAction("reap?", [], None)))
    assert screen.app.state.snapshot is before
