from __future__ import annotations

import asyncio
from typing import Any

import pytest

from qcfeed.control import routes
from qcfeed.errors import ExitStatus
from qcfeed.model.subscribers import (
    Kicked,
    KickRequest,
    Subscribers,
    SubscribersQuery,
    SubscriberStatus,
)


def subscriber(serial: int, **changes: Any) -> SubscriberStatus:
    row: dict[str, Any] = {
        "id": serial, "peer": f"127.0.0.1:{serial}", "symbols": ["AAPL"], "held": 1,
        "policy": "conflate", "compressed": False, "lag": 0, "lag_bytes": 0, "kernel_bytes": 0,
        "age_s": 12.0, "stalled_s": 0.0, "conflated": 0, "dropped": 0, "slow": False,
    }  # fmt: skip
    return SubscriberStatus(**row | changes)


class Service:
    """The routes about subscribers, over a list; the real ones are tried in tests/integration."""

    def __init__(self, *present: SubscriberStatus) -> None:
        self.present = list(present)
        self.queries: list[SubscribersQuery] = []
        self.requests: list[KickRequest] = []

    def routes(self) -> list[routes.Route]:
        return [
            routes.ReadRoute(routes.SUBSCRIBERS, SubscribersQuery, self.list),
            routes.ActionRoute(routes.SUBSCRIBERS_KICK, "kick", KickRequest, self.kick),
        ]

    def list(self, query: SubscribersQuery) -> Subscribers:
        self.queries.append(query)
        ids = [int(each) for each in query.ids.split(",") if each]
        found = [
            each
            for each in self.present
            if (each.slow or not query.slow) and (each.id in ids or not ids)
        ]
        return Subscribers(total=len(found), subscribers=found[: query.limit])

    async def kick(self, request: KickRequest) -> Kicked:
        self.requests.append(request)
        stuck = [each for each in request.ids if each == 666]
        return Kicked(kicked=len(request.ids), already_gone=0, closing=stuck)


@pytest.fixture
def served(watched):
    many = [f"S{n}" for n in range(20)]
    slow = subscriber(
        7, symbols=many, held=1_000, lag=17_000, lag_bytes=200_000, kernel_bytes=None,
        stalled_s=2.5, conflated=1_234, slow=True,
    )  # fmt: skip
    service = Service(slow, subscriber(3), subscriber(666, policy="drop-oldest"))
    watched.serve(routes=service.routes())
    return service


async def test_one_row_per_connection(served, qcfeed_) -> None:
    left = await asyncio.to_thread(qcfeed_, "subscribers")
    assert left.status == ExitStatus.OK
    assert left.out.splitlines()[1].split() == [
        "7", "127.0.0.1:7", "S0", "S1", "S2", "+997", "conflate", "17,000", "195", "KiB", "-",
        "12s", "1,234", "0",
    ]  # fmt: skip


async def test_csv_lists_some_symbols_and_counts_the_rest(served, qcfeed_) -> None:
    left = await asyncio.to_thread(qcfeed_, "subscribers", "-o", "csv", "--slow")
    header, row = left.out.splitlines()
    fields = dict(zip(header.split(","), row.split(","), strict=True))
    assert fields["symbols"] == " ".join([f"S{n}" for n in range(20)]) + " +980"
    assert (fields["lag"], fields["kernel_bytes"], fields["held"]) == ("17000", "", "1000")
    assert served.queries[-1].slow


async def test_rows_beyond_the_limit_are_counted(served, qcfeed_) -> None:
    left = await asyncio.to_thread(qcfeed_, "subscribers", "--limit", "1", "-o", "name")
    assert left.out == "7\n"
    assert left.err == "the 1 furthest behind of 3 subscribers: --limit N shows more\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "no subscribers\n"),
        (["--slow"], "no slow subscribers\n"),
        (["--symbol", "aapl"], "no subscribers to AAPL\n"),
    ],
)
async def test_no_subscribers(watched, qcfeed_, args: list[str], said: str) -> None:
    watched.serve(routes=Service().routes())
    left = await asyncio.to_thread(qcfeed_, "subscribers", *args)
    assert (left.status, left.out, left.err) == (0, "", said)


@pytest.mark.parametrize("args", [["7"], ["--slow"], ["3", "7"], ["--symbol", "AAPL"]])
async def test_kicking_without_a_terminal_wants_yes(served, qcfeed_, args: list[str]) -> None:
    left = await asyncio.to_thread(qcfeed_, "subscribers", "kick", *args)
    assert left.status == ExitStatus.REFUSED
    assert left.out == ""
    assert "this would end" in left.err
    assert "nothing was done; --dry-run shows them, --yes does it" in left.err
    assert served.requests == []


async def test_exactly_the_listed_connections_are_kicked(served, qcfeed_) -> None:
    left = await asyncio.to_thread(
        qcfeed_, "--timeout", "2", "subscribers", "kick", "--slow", "--yes"
    )
    assert left.status == ExitStatus.OK, left.err
    assert [(r.ids, r.force, r.timeout_s) for r in served.requests] == [([7], True, 2.0)]
    assert "1 connection" in left.out


async def test_a_dry_run_ends_no_connection(served, qcfeed_) -> None:
    left = await asyncio.to_thread(qcfeed_, "subscribers", "kick", "3", "--dry-run", "-o", "name")
    assert (left.status, left.out, left.err) == (0, "3\n", "1 connection would be ended\n")
    assert served.requests == []


async def test_a_connection_that_stays_open_is_a_finding(served, qcfeed_) -> None:
    left = await asyncio.to_thread(qcfeed_, "subscribers", "kick", "666", "-y", "-o", "name")
    assert (left.status, left.out) == (ExitStatus.FINDINGS, "666\n")


async def test_kicking_connections_that_are_gone_does_nothing(served, qcfeed_) -> None:
    left = await asyncio.to_thread(qcfeed_, "subscribers", "kick", "99", "--yes")
    assert left.status == ExitStatus.USAGE
    assert left.err.startswith("qcfeed: error: there is no open connection 99\n")
    assert served.requests == []


@pytest.mark.parametrize("args", [[], ["7", "--slow"], ["7", "--symbol", "AAPL"]])
async def test_kick_needs_ids_or_a_filter_but_not_both(served, qcfeed_, args: list[str]) -> None:
    left = await asyncio.to_thread(qcfeed_, "subscribers", "kick", *args, "--yes")
    assert left.status == ExitStatus.USAGE
    assert "name the connections to end" in left.err
    assert served.requests == []
