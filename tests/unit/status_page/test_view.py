"""What the status page says of a tracked service."""

from __future__ import annotations

from typing import Any

import pytest

from qcfeed.metrics.growth import Point
from qcfeed.model.diagnosis import Diagnosis, Symptom
from qcfeed.model.feeds import Feeds, FeedStatus
from qcfeed.model.status import Bands, Listening, Memory, ServiceStatus
from qcfeed.model.status_page import StatusPage
from qcfeed.model.subscribers import Subscribers, SubscriberStatus
from qcfeed.model.tasks import TaskTotals
from qcfeed.observe.recent import LocationTrend
from qcfeed.observe.tracker import ServiceHealth, Tracked
from qcfeed.status_page import tables, view
from tests.support.hostile import EVIL, offences
from tests.unit.cli.top.made import finding, health


def status(**more: Any) -> ServiceStatus:
    given: dict[str, Any] = {
        "pid": 7, "instance": "8006", "taken_at": "2024-03-20T02:15:03.5Z", "version": "1.0",
        "state": "serving", "drill": None, "started_at": "", "uptime_s": 3_600.0, "loop_lag_ms": 0.2,
        "memory": Memory(resident_bytes=2**30, limit_bytes=2**32, limit_source="machine"),
        "listening": Listening(websocket="", admin="", control=""), "upstream": "sim:",
        "upstream_connected": True, "upstream_reconnects": 0, "upstream_gaps": 0, "connections": 2,
        "connections_limit": 10, "feed_count": 3, "feeds_by_state": {}, "subscriptions": 5,
        "subscribers_per_symbol": 1.0, "orphaned_tasks": 0, "orphaned_subscriptions": 0,
        "staleness": Bands(live=3), "totals": TaskTotals(live=12),
    }  # fmt: skip
    return ServiceStatus(**(given | more))


def tracked(found: ServiceHealth | None, **more: Any) -> Tracked:
    given: dict[str, Any] = {
        "process": status(), "totals": [10, 12], "per_minute": 60.0, "span_s": 2.0, "restarts": 0,
        "stuck_s": 0.0, "stack": [], "health": found,
    }  # fmt: skip
    return Tracked(**(given | more))


def feed(symbol: str, band: str = "live", subscribers: int = 1) -> FeedStatus:
    return FeedStatus(
        symbol=symbol, demand="wanted", upstream_state="open", subscriber_count=subscribers,
        generation=1, band=band, reason=None, last_quote_at="2024-03-20T02:15:00Z", age_s=3.0,
        quotes=1, quotes_per_s=1.0, restarts=0,
    )  # fmt: skip


def subscriber(number: int, **more: Any) -> SubscriberStatus:
    given: dict[str, Any] = {
        "id": number, "peer": f"127.0.0.1:{number}", "symbols": ["AAPL"], "held": 1,
        "policy": "conflate", "compressed": False, "lag": 0, "lag_bytes": 0, "kernel_bytes": 0,
        "age_s": 1.0, "stalled_s": 0.0, "conflated": 0, "dropped": 0, "slow": False,
    }  # fmt: skip
    return SubscriberStatus(**(given | more))


def page(
    seen: Tracked,
    locations: list[LocationTrend] | None = None,
    feeds: list[FeedStatus] | None = None,
    subscribers: list[SubscriberStatus] | None = None,
) -> StatusPage:
    now = seen.process
    assert isinstance(now, ServiceStatus)
    return view.page(
        seen,
        now,
        locations or [],
        Feeds(total=len(feeds or []), feeds=feeds or []),
        Subscribers(total=len(subscribers or []), subscribers=subscribers or []),
    )


def test_the_headline_is_that_of_diagnose() -> None:
    assert page(tracked(health())).conclusion.text == "HEALTHY  12 tasks"
    assert page(tracked(health())).conclusion.tone == "good"
    found = page(tracked(health(finding(left_s=662.0))))
    assert found.conclusion.text == "LEAK  3 tasks from feed.py:83 serve nobody; 11m02s left"
    assert found.conclusion.tone == "bad"


@pytest.mark.parametrize(
    "verdict", ["LOOK AGAIN  suspected: x", "NOTHING FOUND YET  1 task", "CANNOT SEE  all"]
)
def test_what_is_not_healthy_is_not_painted_healthy(verdict: str) -> None:
    base = health().diagnosis
    told = page(tracked(ServiceHealth(_with(base, verdict="other", headline=verdict), [], None)))
    assert (told.conclusion.text, told.conclusion.tone) == (verdict, "watch")


def _with(diagnosis: Diagnosis, **more: Any) -> Diagnosis:
    for name, value in more.items():
        setattr(diagnosis, name, value)
    return diagnosis


def test_before_the_first_diagnosis_it_says_that_it_collects() -> None:
    told = page(tracked(None))
    assert told.conclusion.text.startswith("collecting")
    assert (told.conclusion.tone, told.findings, told.timeline) == ("plain", [], [])


def test_what_is_newer_than_the_diagnosis_counts() -> None:
    incomplete = status(totals=TaskTotals(live=1, incomplete=["the factory was replaced: by x"]))
    told = page(tracked(health(), process=incomplete))
    assert (told.conclusion.text, told.conclusion.tone) == (
        "INCOMPLETE  the factory was replaced",
        "bad",
    )
    stuck = page(tracked(health(), stuck_s=5.0))
    assert stuck.conclusion.text.startswith("STUCK  the loop has been stuck for 5.0s")
    assert stuck.conclusion.tone == "bad"


def test_a_finding_has_the_lines_of_diagnose() -> None:
    each = finding(
        location="feed.py:83", source="create_task(x)", began_s=120.0, evidence=["one", "two"],
        symptoms=[Symptom(rule="memory", summary="memory grows")], safe="reap", runbook="Zombies",
        next=["qcfeed --instance 8006 orphans --reap"],
    )  # fmt: skip
    told = page(tracked(health(each, finding("loop"))))
    first, second = told.findings
    assert first.facts == [
        ("line", "feed.py:83  create_task(x)"),
        ("began", "2m00s ago"),
        ("evidence", "one"),
        ("", "two"),
        ("explains", "memory grows"),
        ("safe", "reap"),
        ("runbook", "qcfeed runbook Zombies"),
    ]
    assert first.next == ["qcfeed --instance 8006 orphans --reap"]
    assert told.began_s == 120.0
    assert second.facts == []


def test_a_drill_and_what_was_not_checked_are_noted() -> None:
    diagnosis = _with(health().diagnosis, drill="zombie-feeds", skipped=["feeds: timed out"])
    notes = [each.text for each in page(tracked(ServiceHealth(diagnosis, [], None))).notes]
    assert notes == [
        "DRILL  zombie-feeds is active: a fault was injected on purpose",
        "not checked: feeds: timed out",
    ]


def test_lists_are_bounded_and_begin_with_what_needs_attention() -> None:
    trends = [
        LocationTrend("sound.py:1", "f", 900, 0.0, [900, 900], 0, 1.0, ""),
        LocationTrend("growing.py:1", "f", 9, 30.0, [1, 9], 0, 1.0, ""),
        LocationTrend("orphaned.py:1", "f", 3, None, [3], 3, None, "all orphaned"),
    ]
    feeds = [feed(f"S{n}") for n in range(200)] + [feed("OLD", "stale"), feed("GONE", "dead")]
    people = [subscriber(n, lag=200 - n) for n in range(200)]
    told = page(tracked(health()), trends, feeds, people)
    first = [row[0].text for row in told.location_table.rows]
    assert first == ["orphaned.py:1", "growing.py:1", "sound.py:1"]
    assert [row[0].tone for row in told.location_table.rows] == ["bad", "watch", "plain"]
    assert [row[0].text for row in told.feed_table.rows[:2]] == ["GONE", "OLD"]
    assert len(told.feed_table.rows) == len(told.subscriber_table.rows) == tables.ROWS
    assert told.feed_table.about == "50 of 202 feeds, stale ones first"
    for table in (told.location_table, told.feed_table, told.subscriber_table):
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_names_of_keys_have_a_column_where_subscribers_have_any() -> None:
    titles = [
        each.title
        for each in tables.subscribers(Subscribers(total=1, subscribers=[subscriber(1)])).columns
    ]
    assert "name" not in titles
    table = tables.subscribers(
        Subscribers(total=2, subscribers=[subscriber(1, name="desk-7"), subscriber(2, held=9)])
    )
    assert [row[1].text for row in table.rows] == ["desk-7", "-"]
    assert table.rows[1][2].text == "AAPL +8"


def test_the_timeline_is_thinned_and_has_the_limit_only_when_it_is_near() -> None:
    points = [Point(float(n), memory=n * 1e6, live=n, orphans=0) for n in range(1_000)]
    told = page(tracked(ServiceHealth(health().diagnosis, points, None)))
    memory, tasks, orphaned = told.timeline
    assert [each.name for each in told.timeline] == ["memory", "tasks", "orphaned"]
    assert len(tasks.curve) <= view.MAX_POINTS
    assert tasks.curve[-1] == (0.0, 999)
    assert (tasks.now, tasks.most) == ("999", "999")
    assert memory.limit is None
    assert (orphaned.least, orphaned.most) == ("0", "0")
    full = status(
        memory=Memory(resident_bytes=3 * 2**30, limit_bytes=2**32, limit_source="machine")
    )
    near = page(tracked(ServiceHealth(health().diagnosis, points, None), process=full))
    assert near.timeline[0].limit == 2**32


def test_hostile_text_arrives_escaped() -> None:
    each = finding(location=EVIL, source=EVIL, evidence=[EVIL], next=[EVIL], safe=EVIL)
    told = page(
        tracked(health(each)),
        [LocationTrend(EVIL, EVIL, 1, 1.0, [1], 0, 1.0, EVIL)],
        [feed(EVIL)],
        [subscriber(1, peer=EVIL, symbols=[EVIL], name=EVIL)],
    )
    texts = [
        *(text for pair in told.findings[0].facts for text in pair),
        *told.findings[0].next,
        *(
            cell.text
            for table in (told.location_table, told.feed_table, told.subscriber_table)
            for row in table.rows
            for cell in row
        ),
    ]
    assert [text for text in texts if offences(text)] == []
    assert any("ev\\x1b[31mil" in text for text in texts)
