from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from qcfeed.diagnostics import Filter, Ledger, filters, label, owned_by

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
    rows = filters.by_label(ledger, "symbol", Filter(site=HERE), time.monotonic())
    assert [(r.value, r.live, r.orphaned, r.locations) for r in rows] == [
        ("AAPL", 3, 3, 1),
        ("MSFT", 2, 0, 2),
        (None, 1, 0, 1),
    ]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
