"""The status page's content: one refresh for all viewers, and none while nobody looks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from qcfeed.control import routes
from qcfeed.errors import TimedOutError, UnreachableError
from qcfeed.model.feeds import Feeds
from qcfeed.model.status_page import StatusPage
from qcfeed.model.subscribers import Subscribers
from qcfeed.model.tasks import TasksByLocation, TaskTotals
from qcfeed.status_page import source, tables
from qcfeed.status_page.source import PageSource
from tests.support.patience import PATIENCE
from tests.unit.status_page.test_view import status


class Service:
    """A control plane whose requests are counted, and can be held up or fail."""

    def __init__(self) -> None:
        self.refreshes = self.snapshots = 0
        self.free = threading.Event()
        self.free.set()
        self.error: Exception | None = None

    def get(self, path: str, answer_type: type[Any], **params: object) -> Any:
        self.free.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        if path == routes.TASKS_BY_LOCATION:
            self.snapshots += 1
            stamp = f"2024-03-20T02:15:{self.snapshots:02}Z"
            return TasksByLocation(totals=TaskTotals(), locations=[], taken_at=stamp, since="1")
        self.refreshes += path == routes.SUBSCRIBERS and params == {"limit": tables.ROWS}
        answers = {
            routes.STATUS: status(),
            routes.FEEDS: Feeds(total=0, feeds=[]),
            routes.SUBSCRIBERS: Subscribers(total=0, subscribers=[]),
        }
        if path not in answers:
            raise UnreachableError("not in this test")
        return answers[path]


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def parts() -> AsyncIterator[tuple[Service, Clock, PageSource]]:
    service, clock = Service(), Clock()
    page = PageSource(service, lambda: "8006", clock)
    yield service, clock, page
    service.free.set()
    await page.close()


Parts = tuple[Service, Clock, PageSource]


async def test_any_number_of_viewers_cost_one_refresh_per_interval(parts: Parts) -> None:
    service, clock, page = parts
    first = await asyncio.gather(*(page.content() for _ in range(50)))
    assert service.refreshes == 1
    assert {each.json for each in first} == {first[0].json}
    clock.now += source.INTERVAL - 0.1
    assert (await page.content()).age_s == pytest.approx(source.INTERVAL - 0.1)
    assert service.refreshes == 1
    clock.now += 0.2
    await page.content()
    assert service.refreshes == 2
    assert msgspec.json.decode(first[0].json, type=StatusPage).instance == "8006"


async def test_a_viewer_that_leaves_does_not_cancel_the_others(parts: Parts) -> None:
    service, _, page = parts
    service.free.clear()
    leaving, staying = (asyncio.create_task(page.content()) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    service.free.set()
    assert (await staying).json
    assert leaving.cancelled()
    assert service.refreshes == 1


async def test_a_slow_refresh_gives_the_last_answer_with_its_age(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, clock, page = parts
    monkeypatch.setattr(source, "WAIT", 0.01)
    service.free.clear()
    with pytest.raises(TimedOutError, match="could not be collected"):
        await page.content()
    service.free.set()
    monkeypatch.setattr(source, "WAIT", PATIENCE)
    before = await page.content()
    clock.now += 30
    service.free.clear()
    monkeypatch.setattr(source, "WAIT", 0.01)
    assert await page.content() == (before.json, 30.0)


async def test_an_error_is_told_and_the_next_viewer_tries_again(parts: Parts) -> None:
    service, _, page = parts
    service.error = UnreachableError("the control plane is away")
    with pytest.raises(UnreachableError, match="away"):
        await page.content()
    service.error = None
    assert (await page.content()).json


async def test_a_bug_is_logged(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    service, _, page = parts
    service.error = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError):
        await page.content()
    assert "the status page met a bug" in caplog.text
