from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest

from qcfeed.diagnostics import unretrieved
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.unretrieved import UnretrievedListener


async def fail(text: str = "nobody looks") -> None:
    raise ValueError(text)


async def lose(number: int = 1) -> None:
    """Tasks that fail and are neither awaited nor held."""
    for _ in range(number):
        task = asyncio.create_task(fail())
        await asyncio.wait([task])
        del task
    gc.collect()


@pytest.fixture
async def listener():
    gc.collect()  # what other tests have left is not this one's
    listener = UnretrievedListener()
    listener.install(asyncio.get_running_loop())
    yield listener
    listener.uninstall()
    assert asyncio.get_running_loop().get_exception_handler() is None


async def test_a_lost_exception_is_counted_and_still_reported(
    ledger: Ledger, listener: UnretrievedListener, caplog: pytest.LogCaptureFixture
) -> None:
    await lose(2)
    (lost,) = listener.counts()
    assert lost.location.startswith("tests/unit/diagnostics/test_unretrieved.py:")
    assert (lost.count, lost.error) == (2, "ValueError: nobody looks")
    assert lost.last > 0
    told = [record for record in caplog.records if record.name == "asyncio"]
    assert [r.message.splitlines()[0] for r in told] == ["Task exception was never retrieved"] * 2


async def test_a_retrieved_exception_is_not_counted(
    ledger: Ledger, listener: UnretrievedListener
) -> None:
    task = asyncio.create_task(fail())
    await asyncio.wait([task])
    assert isinstance(task.exception(), ValueError)
    del task
    gc.collect()
    assert listener.counts() == []


async def test_futures_and_tasks_that_the_ledger_does_not_know(
    listener: UnretrievedListener,
) -> None:
    asyncio.get_running_loop().set_task_factory(None)
    await lose()
    future = asyncio.get_running_loop().create_future()
    future.set_exception(KeyError("x"))
    del future
    gc.collect()
    assert [lost.location for lost in listener.counts()] == ["untracked", "a future"]


async def test_other_reports_pass_uncounted(
    listener: UnretrievedListener, caplog: pytest.LogCaptureFixture
) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": "the sky is falling"})
    assert "the sky is falling" in caplog.text
    assert listener.counts() == []


async def test_an_earlier_handler_gets_every_report_and_is_restored() -> None:
    loop = asyncio.get_running_loop()
    heard: list[dict[str, Any]] = []

    def earlier(_: Any, context: dict[str, Any]) -> None:
        heard.append(context)

    loop.set_exception_handler(earlier)
    listener = UnretrievedListener()
    listener.install(loop)
    await lose()
    assert [context["message"] for context in heard] == ["Task exception was never retrieved"]
    assert len(listener.counts()) == 1
    listener.uninstall()
    assert loop.get_exception_handler() is earlier
    loop.set_exception_handler(None)


async def test_a_later_handler_stays_and_the_listener_reports_that_it_is_replaced() -> None:
    loop = asyncio.get_running_loop()
    listener = UnretrievedListener()
    listener.install(loop)
    assert listener.listening
    later = lambda *_: None  # noqa: E731
    loop.set_exception_handler(later)
    assert not listener.listening
    listener.uninstall()
    assert loop.get_exception_handler() is later
    loop.set_exception_handler(None)


async def test_locations_are_bounded(
    ledger: Ledger, listener: UnretrievedListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unretrieved, "LOCATIONS", 1)
    loop = asyncio.get_running_loop()
    for number in range(3):
        context = {"message": "Future exception was never retrieved", "exception": KeyError(number)}
        loop.call_exception_handler(context | {"future": loop.create_future()})
    await lose()
    assert [(lost.location, lost.count) for lost in listener.counts()] == [
        ("a future", 3),
        ("other", 1),
    ]


async def test_an_error_that_cannot_be_described_breaks_nothing(
    listener: UnretrievedListener, caplog: pytest.LogCaptureFixture
) -> None:
    class RudeError(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    caplog.set_level(logging.CRITICAL, "asyncio")  # its own report would fail to print it
    context = {"message": "Task exception was never retrieved", "exception": RudeError()}
    asyncio.get_running_loop().call_exception_handler(context)
    assert listener.counts()[0].error == "RudeError"
