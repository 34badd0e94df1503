"""`qcfeed growth` without Prometheus: what the watched program itself remembers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from qcfeed.control.handlers import history
from qcfeed.diagnostics.sampler import DiagnosticsSampler
from qcfeed.metrics.recent_history import FeedCounts, RecentHistory
from tests.support import loopback_http

from ..conftest import Watched


class Remembering:
    """A sampler that is sampled by hand, and the route over what it remembers."""

    def __init__(self, watched: Watched) -> None:
        self.recent = RecentHistory(lambda: FeedCounts(1, 0, 1))
        self.sampler = DiagnosticsSampler(
            watched.ledger, watched.watch, on_snapshot=self.recent.note
        )
        watched.serve(routes=history.routes(self.recent, self.sampler))


async def test_the_services_last_hour_is_used_and_named_as_the_source(
    watched: Watched, sleepers: Callable[..., None], qcfeed_: Callable[..., Any]
) -> None:
    memory = Remembering(watched)
    now = time.monotonic()
    for ago in range(1_200, -1, -10):  # twenty minutes in no time
        sleepers(2)
        memory.sampler.sample(now - ago)
    left = await asyncio.to_thread(qcfeed_, "growth", "-o", "json")
    told = json.loads(left.out)
    assert told["schema"] == "qcfeed.growth/2"
    assert told["source"] == "service"
    assert "at most one hour" in left.err
    assert len(told["timeline"]) == 121
    whole = next(each for each in told["windows"] if each["window"] == "whole")
    assert round(whole["tasks_per_minute"]) == 12
    assert told["locations"][0]["net"] == 240
    assert told["sustained"] is True
    assert left.status == 1
    short = await asyncio.to_thread(qcfeed_, "growth", "--since", "5m", "-o", "json")
    assert len(json.loads(short.out)["timeline"]) in (30, 31)
    assert json.loads(short.out)["locations"][0]["net"] < 65


async def test_a_time_outside_the_history_is_an_error(
    watched: Watched, qcfeed_: Callable[..., Any]
) -> None:
    memory = Remembering(watched)
    nothing = await asyncio.to_thread(qcfeed_, "growth")
    assert nothing.status == 3
    assert "it has not taken its first sample yet" in nothing.err
    memory.sampler.sample(time.monotonic())
    past = await asyncio.to_thread(qcfeed_, "growth", "--at", "2024-03-20T02:15")
    assert past.status == 3
    assert "has no history of 2024-03-20T02:15:00Z" in past.err
    assert "--prometheus" in past.err


async def test_a_configured_prometheus_that_is_down_falls_back_to_the_service(
    watched: Watched, qcfeed_: Callable[..., Any], monkeypatch: Any
) -> None:
    memory = Remembering(watched)
    memory.sampler.sample(time.monotonic())
    with loopback_http.refused() as url:
        monkeypatch.setenv("QCFEED_PROMETHEUS", url)
        left = await asyncio.to_thread(qcfeed_, "growth", "-o", "json")
        asked = await asyncio.to_thread(qcfeed_, "growth", "--prometheus", url)
    assert left.status == 0
    assert json.loads(left.out)["source"] == "service"
    assert f"Prometheus at {url} does not answer: Connection refused" in left.err
    assert asked.status == 3, "whoever names it asks for nothing else"


def test_without_a_service_and_prometheus_it_says_what_to_do(qcfeed_: Callable[..., Any]) -> None:
    left = qcfeed_("growth")
    assert left.status == 3
    assert "qcfeed serve" in left.err
