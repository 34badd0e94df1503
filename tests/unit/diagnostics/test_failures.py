from __future__ import annotations

import asyncio
from typing import Any

import pytest

from qcfeed.diagnostics.failures import MAX_CALLS, MAX_GROUPS, MAX_TEXT, Failures
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.site import Site


async def failing(text: str = "on purpose") -> None:
    raise ValueError(text)


async def over(task: asyncio.Task[Any]) -> None:
    await asyncio.wait([task])
    task.exception()


async def test_failures_are_grouped_by_location_type_and_line(ledger: Ledger) -> None:
    def spawn(coroutine: Any) -> asyncio.Task[Any]:
        return asyncio.create_task(coroutine)

    async def wrong() -> None:
        raise LookupError("another line")

    for text in ("first", "second", "third"):
        await over(spawn(failing(text)))
        ledger.settle()
    await over(spawn(wrong()))
    ledger.settle()
    latest, earlier = ledger.failures.groups()
    assert (latest.count, latest.raised[0].error) == (1, "LookupError: another line")
    assert (earlier.count, earlier.raised[0].error) == (3, "ValueError: first")
    assert earlier.first < earlier.last < latest.last
    assert earlier.site is latest.site
    ((code, line),) = earlier.raised[0].calls
    assert (code, line) == (failing.__code__, failing.__code__.co_firstlineno + 1)


async def test_causes_of_an_exception_are_recorded(ledger: Ledger) -> None:
    async def wrapped() -> None:
        try:
            await failing("the cause")
        except ValueError as error:
            raise RuntimeError("the effect") from error

    await over(asyncio.create_task(wrapped()))
    ledger.settle()
    (group,) = ledger.failures.groups()
    assert [each.error for each in group.raised] == [
        "RuntimeError: the effect",
        "ValueError: the cause",
    ]


def test_deep_tracebacks_many_kinds_and_hostile_messages_are_bounded() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    def deep(number: int) -> None:
        if not number:
            raise MuteError
        deep(number - 1)

    site = Site(Ledger(), None, 0)
    failures = Failures()
    with pytest.raises(MuteError) as caught:
        deep(3 * MAX_CALLS)
    failures.note(site, 1, caught.value)
    (group,) = failures.groups()
    assert group.raised[0].error == "MuteError"
    assert (len(group.raised[0].calls), group.raised[0].dropped_frames) == (
        MAX_CALLS,
        2 * MAX_CALLS + 2,
    )
    for n in range(MAX_GROUPS + 9):
        failures.note(site, n, type(f"Kind{n}", (Exception,), {})("x" * 10_000))
    assert (len(failures.groups()), failures.dropped) == (MAX_GROUPS, 10)
    assert max(len(each.raised[0].error) for each in failures.groups()) <= MAX_TEXT


def test_an_exception_that_causes_itself_is_recorded_once() -> None:
    error = ValueError("round")
    error.__cause__ = error
    failures = Failures()
    failures.note(Site(Ledger(), None, 0), 1, error)
    assert [each.error for each in failures.groups()[0].raised] == ["ValueError: round"]


def test_a_task_freed_while_another_failure_is_recorded_is_recorded_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The garbage collector may free a task in the midst of any line."""
    site, failures = Site(Ledger(), None, 0), Failures()
    inner = iter([ValueError("freed meanwhile")])

    def causes(error: BaseException) -> list[BaseException]:
        for freed in inner:
            failures.note(site, 2, freed)
        return [error]

    monkeypatch.setattr("qcfeed.diagnostics.failures._causes", causes)
    failures.note(site, 1, ValueError("first"))
    (group,) = failures.groups()
    assert group.count == 2
