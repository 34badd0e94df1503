"""How long an action may take: what it asks for, within bounds, and to the second."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from qcfeed.control.actions import CANCEL_GRACE, LONGEST, Actions
from qcfeed.control.audit import AuditLog, Caller
from qcfeed.control.routes import ActionRoute
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.errors import TimedOutError
from qcfeed.model.answer import Answer
from tests.support import virtual_time

GRACE = 2.0


class Request(msgspec.Struct):
    timeout_s: float = 0.0


async def takes(seconds: float, asked: float, log: Path) -> tuple[float, BaseException | None]:
    """An action that would take so long and asked for so much: when it ended, and what its caller got."""
    loop = asyncio.get_running_loop()
    began, ended = loop.time(), [0.0]

    async def handle(_: Request) -> Answer:
        try:
            await asyncio.sleep(seconds)
        finally:
            ended[0] = loop.time() - began
        return Answer()

    actions = Actions(loop, LoopWatch(), AuditLog(log), grace=GRACE)
    action = ActionRoute("/act", "act", Request, handle)
    try:
        await actions.carry_out(action, Request(asked), Caller(via="test"))
    except TimedOutError as error:
        return ended[0], error
    finally:
        await actions.close()
    return ended[0], None


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (0.0, GRACE),
        (5.0, GRACE + 5.0),
        (LONGEST, GRACE + LONGEST),
        (LONGEST + 1.0, GRACE + LONGEST),
        (1e9, GRACE + LONGEST),
        (-5.0, GRACE),
    ],
)
def test_an_action_is_cancelled_when_the_time_it_asked_for_is_over_and_never_later_than_ten_minutes(
    tmp_path: Path, asked: float, given: float
) -> None:
    ended, error = virtual_time.run(takes(1e8, asked, tmp_path / "audit.jsonl"))
    assert ended == pytest.approx(given)
    assert isinstance(error, TimedOutError)
    assert f"after {given:g} s" in error.message


def test_the_longest_that_an_action_may_take_is_ten_minutes() -> None:
    assert LONGEST == 600.0


def test_an_action_that_ends_in_time_is_not_cancelled(tmp_path: Path) -> None:
    ended, error = virtual_time.run(takes(GRACE + 4.9, 5.0, tmp_path / "audit.jsonl"))
    assert (ended, error) == (pytest.approx(GRACE + 4.9), None)


def test_a_caller_is_told_when_an_action_does_not_heed_its_cancellation(tmp_path: Path) -> None:
    async def main() -> tuple[float, str]:
        loop = asyncio.get_running_loop()
        began, end = loop.time(), asyncio.Event()

        async def deaf(_: Request) -> Answer:
            while not end.is_set():
                try:
                    await end.wait()
                except asyncio.CancelledError:
                    continue
            return Answer()

        actions = Actions(loop, LoopWatch(), AuditLog(tmp_path / "audit.jsonl"), grace=GRACE)
        action = ActionRoute("/act", "act", Request, deaf)
        with pytest.raises(TimedOutError) as raised:
            await actions.carry_out(action, Request(5.0), Caller(via="test"))
        told_at = loop.time() - began
        end.set()
        await actions.close()
        return told_at, raised.value.message

    told_at, message = virtual_time.run(main())
    assert told_at == pytest.approx(GRACE + 5.0 + CANCEL_GRACE)
    assert message == "act was cancelled after 7 s and has not ended yet"
