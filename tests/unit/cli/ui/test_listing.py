"""The options that every list has: which rows, in which order, and of the JSON what jq makes of it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable

import pytest

from qcfeed.cli.ui import watching
from qcfeed.control.routes import FEEDS, NoQuery, ReadRoute
from qcfeed.errors import ExitStatus
from qcfeed.model.feeds import Feeds, FeedStatus

from ..conftest import Left, Watched

Command = Callable[..., Left]


def feed(symbol: str, band: str, age: float | None, subscribers: int) -> FeedStatus:
    return FeedStatus(
        symbol=symbol, demand="wanted", upstream_state="open", subscriber_count=subscribers,
        generation=1, band=band, reason=None, age_s=age, quotes=1, quotes_per_s=1.0, restarts=0,
        last_quote_at=None if age is None else "2024-03-20T02:15:00.000Z",
    )  # fmt: skip


FOUND = [
    feed("AAPL", "live", 2.0, 10),
    feed("BRK.B", "stale", 20.0, 9),
    feed("MSFT", "stale", 100.0, 1),
    feed("QUIET", "live", None, 2),
]


@pytest.fixture
async def feeds(watched: Watched, qcfeed_: Command) -> Callable[..., Left]:
    watched.serve(
        routes=[ReadRoute(FEEDS, NoQuery, lambda _: Feeds(total=len(FOUND), feeds=FOUND))]
    )
    return lambda *args: qcfeed_("feeds", *args)


@pytest.mark.parametrize(
    ("args", "names"),
    [
        ((), ["AAPL", "BRK.B", "MSFT", "QUIET"]),
        (("--sort-by", "age_s"), ["AAPL", "BRK.B", "MSFT", "QUIET"]),
        (("--sort-by", "-age_s"), ["MSFT", "BRK.B", "AAPL", "QUIET"]),
        (("--sort-by", "-staleness"), ["MSFT", "BRK.B", "AAPL", "QUIET"]),
        (("--sort-by", "-SUBSCRIBERS", "--limit", "2"), ["AAPL", "BRK.B"]),
        (("--limit", "1"), ["AAPL"]),
        (("--state", "stale"), ["BRK.B", "MSFT"]),
        (("--state", "open", "--symbol", "aapl"), ["AAPL"]),
        (("--symbol", "TSLA"), []),
    ],
)
async def test_rows_are_chosen_and_sorted_in_every_format(
    feeds: Callable[..., Left], args: tuple[str, ...], names: list[str]
) -> None:
    assert (await asyncio.to_thread(feeds, *args, "-o", "name")).out.split() == names
    document = json.loads((await asyncio.to_thread(feeds, *args, "-o", "json")).out)
    assert [each["symbol"] for each in document["feeds"]] == names
    table = (await asyncio.to_thread(feeds, *args, "-o", "csv", "--no-headers")).out.splitlines()
    assert [line.partition(",")[0] for line in table] == names
    by_jq = await asyncio.to_thread(feeds, *args, "--jq", ".feeds[].symbol")
    assert by_jq.out.split() == names


async def test_what_cannot_be_done_is_a_usage_error(feeds: Callable[..., Left]) -> None:
    for args, message in (
        (("--sort-by", "nosuch"), "the columns are symbol, state"),
        (("--jq", ".x["), "--jq '.x['"),
        (("--jq", ".feeds | .x"), "--jq '.feeds | .x'"),
        (("--limit", "0"), "--limit"),
        (("--watch", "soon"), "soon"),
    ):
        left = await asyncio.to_thread(feeds, *args)
        assert left.status == ExitStatus.USAGE, args
        assert message in left.err


async def test_jq_prints_text_bare_and_all_else_as_json(feeds: Callable[..., Left]) -> None:
    left = await asyncio.to_thread(feeds, "--jq", '.feeds[0] | .symbol, .age_s, .reason, {a: "é"}')
    assert left.out.splitlines() == ["AAPL", "2", "null", '{"a": "é"}']


@pytest.mark.parametrize(
    ("typed", "parsed"),
    [
        ("feeds --watch", "feeds --watch=default"),
        ("feeds --watch 5 -o json", "feeds --watch=5 -o json"),
        ("feeds --watch 500ms", "feeds --watch=500ms"),
        ("feeds --watch -o json", "feeds --watch=default -o json"),
        ("feeds --watch=3", "feeds --watch=3"),
        ("tasks -- --watch 5", "tasks -- --watch 5"),
    ],
)
def test_the_interval_of_watch_may_be_left_out(typed: str, parsed: str) -> None:
    assert watching.with_intervals(typed.split()) == parsed.split()


def test_a_watched_command_goes_on_after_findings_until_ctrl_c(
    capsys: pytest.CaptureFixture[str],
) -> None:
    import typer

    runs = []

    def run() -> None:
        runs.append(len(runs))
        sys.stdout.write(f"run {runs[-1]}\n")
        if runs[-1] == 2:
            raise KeyboardInterrupt
        raise typer.Exit(1)

    watching.repeat(run, 0.001)
    assert capsys.readouterr().out.split("\n") == ["run 0", "run 1", "run 2", ""]
