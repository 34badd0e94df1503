"""Cancelling a feed and kicking a subscriber from the screen of ``qcfeed top``, in a real service."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.integration.service.conftest import Start
from tests.support.full_screen import Screen, shown
from tests.support.raw_websocket import RawClient, close
from tests.support.running_service import Running, until


def control(running: Running) -> Path:
    return Path(running.service.listening.control)


def audit_log(running: Running) -> Path:
    name = f"{running.service.control.instance}.audit.jsonl"
    return Path(os.environ["XDG_STATE_HOME"]) / "qcfeed" / name


def audited(running: Running) -> list[dict[str, Any]]:
    log = audit_log(running)
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def intent_and_outcome(running: Running, action: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two lines of the audit log, both from the user of this screen."""
    intent, outcome = audited(running)
    assert (intent["event"], outcome["event"]) == ("intent", "outcome")
    assert intent["id"] == outcome["id"]
    assert intent["action"] == outcome["action"] == action
    assert intent["who"] == outcome["who"]
    assert (intent["who"]["uid"], intent["who"]["pid"]) == (os.getuid(), os.getpid())
    return intent, outcome


async def refused_by_a_person(screen: Screen, running: Running) -> None:
    """Every way to decline, and nothing happens."""
    for no in ("n", "escape", "enter", "q"):
        await screen.question("c")
        await screen.press("x", "Y", "space", no)
        assert not screen.has_question
        assert screen.text("about") == "nothing was done"
    assert audited(running) == []


async def said_goodbye(reader: RawClient, code: int) -> None:
    """The client gets the close frame and answers it."""
    assert (await reader.closing()).code == code
    reader.send(close(code))
    assert await reader.ended() == "eof"


async def test_a_feed_is_cancelled_after_its_plan_was_shown(start: Start) -> None:
    running = await start()
    async with (
        await running.client("/quotes/AAPL") as reader,
        await running.client("/quotes/MSFT") as other,
        shown(control(running)) as screen,
    ):
        await screen.press("2")
        await screen.until(lambda: [row[0] for row in screen.rows] == ["AAPL", "MSFT"])
        plan = await screen.question("c")
        assert "cancel the feed of AAPL with 1 subscriber? [y/N]" in plan
        assert "AAPL    wanted/open            1" in plan
        assert "its subscribers get close code 4410" in plan
        await screen.press("n")
        await refused_by_a_person(screen, running)
        assert (await reader.message("quote"))["symbol"] == "AAPL"

        await screen.question("c")
        await screen.press("y")
        await said_goodbye(reader, 4410)
        assert "AAPL" in await screen.opened()
        assert screen.title == "cancelled"
        await screen.press("escape")
        await screen.until(lambda: [row[0] for row in screen.rows] == ["MSFT"])
        assert (await other.message("quote"))["symbol"] == "MSFT"

        intent, outcome = intent_and_outcome(running, "feeds cancel")
        assert intent["request"]["symbols"] == ["AAPL"]
        assert outcome["outcome"] == "done"
        assert [feed["symbol"] for feed in outcome["after"]["feeds"]] == ["AAPL"]


async def test_a_reader_is_kicked_after_its_plan_was_shown(start: Start) -> None:
    running = await start()
    async with (
        await running.client("/quotes/AAPL") as other,
        await running.client("/quotes/MSFT") as reader,
        shown(control(running)) as screen,
    ):
        await screen.press("3")
        await screen.until(lambda: len(screen.rows) == 2)
        row = next(n for n, row in enumerate(screen.rows) if "MSFT" in row)
        await screen.press(*["down"] * row)
        number = screen.current_row[0]
        plan = await screen.question("c")
        assert f"end connection {number} of 127.0.0.1:{reader.port}? [y/N]" in plan
        assert "MSFT" in plan
        assert "AAPL" not in plan
        assert "close code 4411" in plan
        await screen.press("n")
        await refused_by_a_person(screen, running)

        await screen.question("c")
        await screen.press("y")
        await said_goodbye(reader, 4411)
        assert "kicked        1 connection" in await screen.opened()
        assert screen.title == "kicked"
        await screen.press("escape")
        await screen.until(lambda: [row[2] for row in screen.rows] == ["AAPL"])
        assert (await other.message("quote"))["symbol"] == "AAPL"

        intent, outcome = intent_and_outcome(running, "subscribers kick")
        assert intent["request"]["ids"] == [int(number)]
        assert (outcome["outcome"], outcome["after"]["kicked"]) == ("done", 1)


async def test_a_feed_that_closed_before_the_confirmation_is_reported(start: Start) -> None:
    running = await start()
    feed, reader = await running.client("/quotes/AAPL"), await running.client("/quotes/MSFT")
    async with shown(control(running)) as screen:
        await screen.press("2")
        await screen.until(lambda: len(screen.rows) == 2)
        await screen.question("c")
        await feed.leave()
        await until(lambda: "AAPL" not in running.service.hub.feeds, "the feed is gone")
        assert "AAPL" in await screen.opened("y")
        assert screen.title == "error"
        await screen.press("escape", "3")
        await screen.until(lambda: len(screen.rows) == 1)
        await screen.question("c")
        await reader.leave()
        await until(lambda: not running.service.gateway.connections, "the reader is gone")
        told = await screen.opened("y")
        assert "kicked        0 connections" in told
        assert "already gone  1" in told


async def test_an_action_that_cannot_be_audited_is_refused(start: Start) -> None:
    running = await start()
    async with await running.client("/quotes/AAPL") as reader, shown(control(running)) as screen:
        audit_log(running).unlink(missing_ok=True)
        audit_log(running).mkdir()
        await screen.press("2")
        await screen.until(lambda: len(screen.rows) == 1)
        await screen.question("c")
        told = await screen.opened("y")
        assert screen.title == "error"
        assert "audit" in told
        assert "nothing was done" in told
        assert (await reader.message("quote"))["symbol"] == "AAPL"
