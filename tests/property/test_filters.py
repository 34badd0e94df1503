"""A filter picks exactly the tasks that its words describe."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from qcfeed.diagnostics import Filter, Ledger, filters, label

SYMBOLS = st.sampled_from(["AAPL", "MSFT", None])
NAMES = st.sampled_from(["feed A", "feed B", "link"])
TASKS = st.lists(st.tuples(NAMES, SYMBOLS, st.booleans(), st.booleans()), max_size=12)
WANTED = st.fixed_dictionaries(
    {},
    optional={
        "labels": st.sampled_from([{"symbol": "AAPL"}, {"symbol": None}, {"absent": None}]),
        "name": st.sampled_from(["feed *", "link", "*"]),
        "waiting_on": st.sampled_from(["SLEEP", "event", "nothing such"]),
        "site": st.sampled_from(["test_filters.py", "property/test_filters.py", "filters.py"]),
        "older_than": st.sampled_from([0.0, 30.0]),
    },
)


async def sleeps() -> None:
    await asyncio.sleep(3600)


async def waits() -> None:
    await asyncio.Event().wait()


def described(task: tuple[str, str | None, bool, bool], wanted: dict[str, Any]) -> bool:
    """What a person would say, from how the task was made."""
    name, symbol, sleeping, old = task
    by_label = {
        "symbol": symbol is not None and wanted.get("labels") in ({"symbol": None}, {"symbol": symbol}),
        "absent": False,
    }  # fmt: skip
    return all((
        "labels" not in wanted or by_label[next(iter(wanted["labels"]))],
        wanted.get("name", "*") == "*" or name.startswith(wanted["name"].rstrip("*")),
        "waiting_on" not in wanted
        or wanted["waiting_on"] == ("SLEEP" if sleeping else "event"),
        wanted.get("site") != "filters.py",
        old or wanted.get("older_than", 0.0) == 0.0,
    ))  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(TASKS, WANTED)
def test_a_filter_selects_exactly_the_matching_tasks(
    made: list[tuple[str, str | None, bool, bool]], wanted: dict[str, Any]
) -> None:
    asyncio.run(_check(made, wanted))


async def _check(made: list[tuple[str, str | None, bool, bool]], wanted: dict[str, Any]) -> None:
    ledger = Ledger()
    ledger.install(asyncio.get_running_loop())
    tasks = []
    now = time.monotonic()
    for name, symbol, sleeping, old in made:
        with label(symbol=symbol):
            tasks.append(asyncio.create_task(sleeps() if sleeping else waits(), name=name))
        ledger.record_of(tasks[-1]).created_at -= 60 * old  # type: ignore[union-attr]
    await asyncio.sleep(0)
    which = Filter(**{"site": "test_filters.py"} | wanted)  # not what runs this test
    found = which.select(ledger, now)
    expected = [task for task, how in zip(tasks, made, strict=True) if described(how, wanted)]
    assert [record.task for record in found] == expected
    assert sum(which.count(ledger, now).values()) == len(expected)
    rows = filters.by_label(ledger, "symbol", which, now)
    assert sum(row.live for row in rows) == len(expected)
    assert len({row.value for row in rows}) == len(rows)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert which.select(ledger, now) == []
    ledger.uninstall()
