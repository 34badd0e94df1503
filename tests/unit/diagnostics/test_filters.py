from __future__ import annotations

import asyncio
import time

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
