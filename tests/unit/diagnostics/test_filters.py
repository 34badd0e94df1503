from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from qcfeed.diagnostics import Filter, Ledger, filters, label, owned_by
from qcfeed.diagnostics.filters import LabelRow
from qcfeed.diagnostics.task_info import info_of

HERE = "tests/unit/diagnostics/test_filters.py"


async def sleeper() -> None:
    await asyncio.sleep(3600)


@pytest.mark.parametrize(
    ("location", "wanted", "same"),
    [
        ("qcfeed/server/feed.py:77", "feed.py:77", True),
        ("qcfeed/server/feed.py:77", "server/feed.py:77", True),
        ("qcfeed/server/feed.py:77", "qcfeed/server/feed.py:77", True),
        ("qcfeed/server/feed.py:77", "qcfeed/server/feed.py", True),
        ("qcfeed/server/feed.py:77", "feed.py:7", False),
        ("qcfeed/server/feed.py:77", "eed.py:77", False),
        ("qcfeed/server/feed.py:77", "my/service/feed.py:77", False),
        ("qcfeed/server/feed.py:77", ":77", False),
        ("<string>:1", "<string>:1", True),
        ("other", "other", True),
    ],
)
def test_a_site_is_compared_from_the_right_by_path_components(
    location: str, wanted: str, same: bool
) -> None:
    assert Filter(site=wanted).matches_location(location) is same


def test_an_empty_filter_matches_every_task() -> None:
    assert not Filter()
    for given in ({"site": "a.py"}, {"labels": {"a": None}}, {"older_than": 1.0}, {"name": "*"},
                  {"waiting_on": "x"}):  # fmt: skip
        assert Filter(**given), given


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ({}, True),
        ({"site": "bot.py"}, True),
        ({"site": "other.py"}, False),
        ({"older_than": 60.0}, True),
        ({"older_than": 60.1}, False),
        ({"labels": {"symbol": "AAPL"}}, True),
        ({"labels": {"symbol": None}}, True),
        ({"labels": {"symbol": "MSFT"}}, False),
        ({"labels": {"venue": None}}, False),
        ({"name": "feed *"}, True),
        ({"name": "feed"}, False),
        ({"waiting_on": "QUEUE"}, True),
        ({"waiting_on": "lock"}, False),
        ({"site": "bot.py", "older_than": 60.1}, False),
    ],
)
def test_a_task_of_a_file_matches_if_it_fits_everything_that_is_given(
    given: dict[str, Any], fits: bool
) -> None:
    wanted = Filter(**given)
    assert wanted.matches_saved("bot.py:8", {"symbol": "AAPL"}, 60.0, "feed 7", "Queue.get") is fits


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ({}, True),
        ({"site": HERE}, True),
        ({"site": "other.py"}, False),
        ({"older_than": 60.0}, True),
        ({"older_than": 60.1}, False),
        ({"labels": {"symbol": "AAPL"}}, True),
        ({"labels": {"symbol": None}}, True),
        ({"labels": {"symbol": "MSFT"}}, False),
        ({"labels": {"venue": None}}, False),
        ({"labels": {"symbol": "AAPL", "venue": None}}, False),
        ({"name": "feed *"}, True),
        ({"name": "feed"}, False),
        ({"waiting_on": "SLEEP"}, True),
        ({"waiting_on": "lock"}, False),
        ({"name": "feed *", "waiting_on": "lock"}, False),
        ({"name": "feed", "waiting_on": "sleep"}, False),
        ({"site": HERE, "older_than": 60.1}, False),
    ],
)
async def test_a_live_task_matches_if_it_fits_everything_that_is_given(
    ledger: Ledger, given: dict[str, Any], fits: bool
) -> None:
    with label(symbol="AAPL"):
        task = asyncio.create_task(sleeper(), name="feed 7")
    await asyncio.sleep(0)
    info = info_of(task)
    assert info is not None
    info.created_at = 1_000.0
    wanted = Filter(**given)
    assert wanted.matches(info, 1_060.0) is fits
    assert (task in [ref() for ref in wanted.select(ledger, 1_060.0)]) is fits
    place = (info.site.location, info.site.function)
    assert wanted.count(ledger, 1_060.0)[place] == fits
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not Filter(name="*").matches(info, 1_060.0), "it has ended"


async def test_matching_tasks_are_counted_by_location_and_function(ledger: Ledger) -> None:
    tasks = [asyncio.create_task(sleeper(), name=name) for name in ("a1", "a2", "b1")]
    (counted,) = Filter(name="a*").count(ledger, time.monotonic()).items()
    assert counted == ((tasks[0].site.location, tasks[0].site.function), 2)  # type: ignore[attr-defined]
    assert Filter(name="c*").count(ledger, time.monotonic()) == {}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_name_that_raises_matches_only_all(ledger: Ledger) -> None:
    class Grumpy:
        def __str__(self) -> str:
            raise ValueError

    task = asyncio.create_task(sleeper())
    task.get_name = lambda: str(Grumpy())  # type: ignore[method-assign]
    now = time.monotonic()
    assert len(Filter(site=HERE, name="*").select(ledger, now)) == 1
    assert Filter(site=HERE, name="?*").select(ledger, now) == []
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_rows_by_label_with_their_orphans(ledger: Ledger) -> None:
    with label(symbol="AAPL"), owned_by(lambda: True):
        tasks = [asyncio.create_task(sleeper()) for _ in range(3)]
    with label(symbol="MSFT"):
        tasks += [asyncio.create_task(sleeper())]
        tasks += [asyncio.create_task(sleeper())]
    tasks += [asyncio.create_task(sleeper())]
    for number, task in enumerate(tasks):
        info = info_of(task)
        assert info is not None
        info.created_at = 1_000.0 + number
    rows = filters.by_label(ledger, "symbol", Filter(site=HERE), 1_100.0)
    assert rows == [
        LabelRow("AAPL", live=3, orphaned=3, oldest_s=100.0, locations=1),
        LabelRow("MSFT", live=2, orphaned=0, oldest_s=97.0, locations=2),
        LabelRow(None, live=1, orphaned=0, oldest_s=95.0, locations=1),
    ]
    only = filters.by_label(ledger, "symbol", Filter(labels={"symbol": "MSFT"}), 1_100.0)
    assert [row.value for row in only] == ["MSFT"]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_of_equal_numbers_labels_are_in_order_and_tasks_without_one_come_last() -> None:
    rows = [LabelRow(value, 2) for value in (None, "B", "A")] + [LabelRow("C", 3)]
    order = [row.value for row in sorted(rows, key=filters.most_tasks_first)]
    assert order == ["C", "A", "B", None]
