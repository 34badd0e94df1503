"""The cause first, its symptoms under it; and each scenario can fail: its rule is taken away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import pytest

from qcfeed.diagnose import (
    alerts,
    causes,
    diagnostics_findings,
    leaks,
    loop,
    memory,
    quotes,
    subscribers,
)
from qcfeed.diagnose.evidence import Evidence, Firing
from qcfeed.diagnose.verdict import RULES, diagnose
from qcfeed.metrics.catalog import alerts as catalog
from qcfeed.metrics.growth import Point
from qcfeed.model import answers
from qcfeed.model.answers import Memory
from qcfeed.model.diagnosis import Diagnosis, Finding
from tests.support.seen import (
    GIB,
    LEAKY,
    evidence,
    feed,
    leak,
    location,
    orphans,
    rule,
    samples,
    snapshot,
    status,
    subscriber,
    told,
)


def firing(name: str, state: str = "firing") -> Firing:
    return Firing(name=name, state=state, active_s=90.0, value=5.0, summary="s", first="qcfeed x")


BLOCKED = rule(
    "blocked_loop",
    "app.py:12",
    place="app.py:31 hash_all",
    count=1,
    worst_s=12.0,
    ago_s=0.0,
    since_s=12.0,
    source="time.sleep(60)",
    evidence=["by task 9 of app.py:12, 12 s ago", "app.py:12 main", "app.py:31 hash_all"],
)
STUCK = snapshot(location("hub.py:9", live=2), after_s=5, stall_ms=12_000.0)
SILENT = [feed(name, band="stale", reason="upstream_silent") for name in ("AAPL", "MSFT")]


@dataclass
class Scenario:
    """A fault, its verdict, what that explains, and the rule without which it is not found."""

    seen: Callable[[], Evidence]
    verdict: str
    by: Callable[..., object]
    explains: tuple[str, ...] = ()


SCENARIOS = {
    "zombies that grow": Scenario(leak, "zombies", leaks.zombies),
    "zombies and the memory that they take": Scenario(
        lambda: leak(samples=samples(30.0, tasks_per_s=1_000), count=60_000, more=5_000),
        "zombies",
        leaks.zombies,
        ("memory_growth",),
    ),
    "zombies near the limit": Scenario(
        lambda: leak(
            memory=Memory(resident_bytes=15 * GIB, limit_bytes=16 * GIB, limit_source="cgroup v2"),
            count=400_000,
        ),
        "zombies",
        leaks.zombies,
        ("memory_level",),
    ),
    "zombies that the history has seen grow": Scenario(
        lambda: leak(
            findings=told(
                rule("orphans", count=20_000, since_s=900.0),
                rule("growing", count=20_000, per_minute=812.0, since_s=600.0),
            )
        ),
        "zombies",
        leaks.zombies,
        ("growing",),
    ),
    "zombies that hold the loop up for a moment when they wake": Scenario(
        lambda: leak(
            findings=told(
                rule("orphans", count=20_000, since_s=900.0),
                msgspec.structs.replace(BLOCKED, location=LEAKY, worst_s=0.12, ago_s=3.0),
            )
        ),
        "zombies",
        leaks.zombies,
        ("blocked_loop",),
    ),
    "tasks that grow and have their owners": Scenario(
        lambda: evidence(findings=told(rule("growing", count=900, per_minute=90.0, since_s=600.0))),
        "growing",
        leaks.growing,
    ),
    "a stuck loop, and the symbols that it makes stale": Scenario(
        lambda: evidence(after=STUCK, findings=told(BLOCKED), feeds=SILENT),
        "blocked_loop",
        loop.blocked,
        ("upstream",),
    ),
    "a stuck loop that the watchdog has not caught": Scenario(
        lambda: evidence(after=STUCK), "blocked_loop", loop.blocked
    ),
    "a loop that stood still, and what was late for it": Scenario(
        lambda: evidence(
            findings=told(msgspec.structs.replace(BLOCKED, ago_s=30.0)),
            feeds=[feed("AAPL", band="stale", reason="own_lag"), feed("MSFT")],
        ),
        "blocked_loop",
        loop.blocked,
        ("own_lag",),
    ),
    "memory that grows without tasks": Scenario(
        lambda: evidence(samples=samples(30.0)), "memory_growth", memory.growing
    ),
    "memory that grows beside a few orphans": Scenario(
        lambda: leak(count=3, more=0, samples=samples(30.0)), "memory_growth", memory.growing
    ),
    "memory near its limit": Scenario(
        lambda: evidence(
            memory=Memory(resident_bytes=15 * GIB, limit_bytes=16 * GIB, limit_source="cgroup v2")
        ),
        "memory_level",
        memory.near,
    ),
    "a silent upstream": Scenario(lambda: evidence(feeds=SILENT), "upstream", quotes.upstream),
    "an upstream that is down": Scenario(
        lambda: evidence(status=status(connected=False)), "upstream", quotes.upstream
    ),
    "a dead symbol among others": Scenario(
        lambda: evidence(feeds=[feed("AAPL"), feed("IBM", band="dead", reason="upstream_silent")]),
        "stale_symbols",
        quotes.some,
    ),
    "late by its own lag": Scenario(
        lambda: evidence(feeds=[feed("AAPL"), feed("IBM", band="stale", reason="own_lag")]),
        "own_lag",
        quotes.own_lag,
    ),
    "subscribers that do not read": Scenario(
        lambda: evidence(slow=[subscriber(7), subscriber(8, stalled_s=3.0)]),
        "slow_subscribers",
        subscribers.slow,
    ),
    "a stuck loop, and those who wait for it": Scenario(
        lambda: evidence(after=STUCK, findings=told(BLOCKED), slow=[subscriber(7)]),
        "blocked_loop",
        loop.blocked,
        ("slow_subscribers",),
    ),
    "an alert that nothing explains": Scenario(
        lambda: evidence(alerts=[firing("QcfeedTargetMissing")]),
        "QcfeedTargetMissing",
        alerts.fires,
    ),
    "zombies, and the alerts that they set off": Scenario(
        lambda: leak(alerts=[firing("QcfeedTaskGrowth"), firing("QcfeedOrphanedTasks")]),
        "zombies",
        leaks.zombies,
        ("QcfeedTaskGrowth", "QcfeedOrphanedTasks"),
    ),
    "a task that swallows its cancellation": Scenario(
        lambda: evidence(findings=told(rule("cancelled_in_vain", count=1))),
        "cancelled_in_vain",
        diagnostics_findings.passed_on,
    ),
    "a drill that is on": Scenario(
        lambda: evidence(status=status(drill="zombie-feeds")), "drill", diagnostics_findings.drill
    ),
    "a ledger that does not see all tasks": Scenario(
        lambda: evidence(after=_incomplete("cannot see 2,001 of 2,002 tasks: a new factory")),
        "incomplete_ledger",
        diagnostics_findings.incomplete,
    ),
    "a ledger that does not see all tasks, of which there are more and more": Scenario(
        lambda: evidence(
            after=_incomplete("cannot see 99 of 101 tasks: a new factory"),
            findings=told(UNTRACKED),
            alerts=[firing("QcfeedLedgerIncomplete")],
        ),
        "incomplete_ledger",
        diagnostics_findings.incomplete,
        ("untracked_tasks", "QcfeedLedgerIncomplete"),
    ),
    "untracked tasks that keep growing": Scenario(
        lambda: evidence(findings=told(UNTRACKED)),
        "untracked_tasks",
        diagnostics_findings.passed_on,
    ),
}


UNTRACKED = rule("untracked_tasks", "", summary="untracked tasks keep growing: 9 to 99")


def _incomplete(reason: str) -> answers.TasksByLocation:
    after = evidence().after
    totals = msgspec.structs.replace(after.totals, incomplete=[reason])
    return msgspec.structs.replace(after, totals=totals)


every_scenario = pytest.mark.parametrize("name", SCENARIOS)


def worst(told: Diagnosis) -> Finding:
    return told.findings[0]


@every_scenario
def test_the_cause_comes_first_and_explains(name: str) -> None:
    scenario = SCENARIOS[name]
    judged = diagnose(scenario.seen())
    assert judged.verdict == scenario.verdict
    assert tuple(each.rule for each in worst(judged).symptoms) == scenario.explains
    assert not {each.rule for each in judged.findings} & set(scenario.explains)
    assert worst(judged).safe
    assert all(command.startswith("qcfeed ") for command in worst(judged).next)
    assert worst(judged).next


@every_scenario
def test_without_its_rule_it_is_another_verdict(name: str) -> None:
    scenario = SCENARIOS[name]
    rest = [rule for rule in RULES if rule is not scenario.by]
    assert len(rest) == len(RULES) - 1
    assert diagnose(scenario.seen(), rest).verdict != scenario.verdict


@pytest.mark.parametrize("name", [name for name, each in SCENARIOS.items() if each.explains])
def test_without_its_relation_the_symptom_stands_beside_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = SCENARIOS[name]
    monkeypatch.setattr(causes, "RELATIONS", {})
    judged = diagnose(scenario.seen())
    beside = {each.rule for each in (*judged.findings, *judged.to_recheck)}
    assert beside >= set(scenario.explains)


def test_untracked_tasks_are_no_more_than_a_reason_to_look_again() -> None:
    many = "cannot see what created 30 of 40 tasks"
    seen = evidence(findings=told(rule("untracked_tasks", "", sure=False, summary=many)))
    judged = diagnose(seen)
    assert (judged.verdict, judged.findings) == ("healthy", [])
    (again,) = judged.to_recheck
    assert (again.headline, again.cause, again.runbook) == (many, many, "QcfeedLedgerIncomplete")


def test_healthy_says_what_was_looked_at() -> None:
    judged = diagnose(evidence())
    assert (judged.verdict, judged.findings, judged.to_recheck) == ("healthy", [], [])
    assert judged.headline.startswith("HEALTHY  2 tasks, 2 feeds, 4 subscriptions")
    at = [each.subject for each in judged.checks]
    assert at == ["tasks", "memory", "loop", "history", "quotes", "subscribers"]


def test_the_incident_in_words() -> None:
    found = worst(diagnose(leak()))
    assert found.headline == f"20,000 tasks from {LEAKY} serve nobody"
    assert found.cause == (
        f"tasks spawned at {LEAKY} grow by 720 a minute and serve nobody: they ignore failed sends"
    )
    assert (found.location, found.source) == (LEAKY, "tokio_spawn(generate())")
    assert (found.began_s, found.per_minute, found.count) == (13_620.0, 720.0, 20_000)
    assert "2 of 3 looked at woke since, and went to sleep again" in found.evidence
    assert found.evidence[-1] == (
        "6h56m until 16.0 GiB of memory: 720 tasks more a minute, 52.4 KiB each at most"
    )
    # 15 GiB of room; 1 GiB among 20,000 tasks is 53,687 B each, 720 a minute more
    assert found.left_s == pytest.approx(15 * GIB / (GIB / 20_000) / 720 * 60)


def test_ignoring_sends_is_only_said_of_those_that_were_seen_to_wake() -> None:
    asleep = leak(orphans=orphans(721.0))
    assert worst(diagnose(asleep)).cause.endswith("they live on although their owner is gone")
    program = leak(orphans=orphans(0.2, owner="session of ann"))
    assert worst(diagnose(program)).cause.endswith("go on although their owner is gone")


def test_tasks_that_wait_for_what_nobody_will_send() -> None:
    waits = [{"state": "Queue.get", "count": 500}]
    row = msgspec.convert(
        msgspec.to_builtins(location(live=500, orphaned=500)) | {"waits": waits, "sampled": 500},
        type(location()),
    )
    seen = leak(after=snapshot(row, after_s=5.0), orphans=orphans(None))
    assert "they wait (Queue.get) for what their owner" in worst(diagnose(seen)).cause


def test_orphans_that_are_not_proved_yet_are_no_verdict() -> None:
    judged = diagnose(leak(findings=told(rule("orphans", sure=False, count=20_000, since_s=1.0))))
    assert judged.verdict == "healthy"
    assert [each.rule for each in judged.to_recheck] == ["zombies"]


def test_a_feed_that_is_just_closing_is_not_even_worth_a_look() -> None:
    assert diagnose(leak(count=2, more=0, findings=told())).to_recheck == []


def test_symbols_that_are_merely_quiet_are_looked_at_again() -> None:
    quiet = [feed("AAPL"), feed("IBM", band="stale", reason="upstream_silent")]
    judged = diagnose(evidence(feeds=quiet))
    assert judged.verdict == "healthy"
    assert [each.rule for each in judged.to_recheck] == ["stale_symbols"]


def test_a_stall_that_is_history_or_short_is_no_verdict() -> None:
    old = msgspec.structs.replace(BLOCKED, ago_s=1_800.0)
    short = msgspec.structs.replace(BLOCKED, worst_s=0.2, ago_s=1.0, count=7)
    for stall in (old, short):
        judged = diagnose(evidence(findings=told(stall)))
        assert judged.verdict == "healthy"
        assert [each.rule for each in judged.to_recheck] == ["blocked_loop"]


@pytest.mark.parametrize(
    ("mb_per_s", "why"), [(0.5, "ends in nine hours"), (-30.0, "falls"), (0.0, "stands still")]
)
def test_memory_that_is_no_finding(mb_per_s: float, why: str) -> None:
    assert diagnose(evidence(samples=samples(mb_per_s))).verdict == "healthy", why


def test_memory_that_grew_once_and_stays_is_no_growth() -> None:
    step = [each._replace(memory=GIB + (each.at > 1) * 2**28) for each in samples(0.0)]
    assert diagnose(evidence(samples=step)).verdict == "healthy"


def test_commands_name_the_same_service() -> None:
    judged = diagnose(leak(command="qcfeed --instance blue"))
    assert worst(judged).next[0] == "qcfeed --instance blue orphans --reap"


def test_a_program_that_is_attached_has_no_feeds_to_look_at() -> None:
    judged = diagnose(evidence(status=None, feeds=[]))
    assert [each.subject for each in judged.checks] == ["tasks", "memory", "loop", "history"]


def test_it_is_the_same_after_a_trip_through_json() -> None:
    judged = diagnose(leak(samples=samples(30.0, tasks_per_s=12)))
    assert msgspec.json.decode(msgspec.json.encode(judged), type=Diagnosis) == judged


def test_what_is_remembered_says_it_too_and_the_shorter_time_is_told() -> None:
    """The incident's last quarter of an hour: 7.2 to 14.2 GB, one sample in 15 s."""
    remembered = [
        Point(at, memory=7.2e9 + 7e9 * at / 900, live=24_567 + 23_262 * at / 900)
        for at in range(0, 901, 15)
    ]
    held = Memory(resident_bytes=14_200_000_000, limit_bytes=16_000_000_000, limit_source="x")
    judged = diagnose(evidence(memory=held, history=remembered, samples=samples(0.0)))
    assert judged.verdict == "memory_growth"
    assert worst(judged).left_s == pytest.approx(231, abs=1)
    assert "15m00s" in " ".join(worst(judged).evidence)


def test_who_does_not_read_is_named_the_furthest_behind_first() -> None:
    found = worst(diagnose(evidence(slow=[subscriber(8, stalled_s=3.0), subscriber(7)])))
    assert found.headline == "2 of 2 subscribers do not read: 10.0.0.7:4000, 10.0.0.8:4000"
    assert found.evidence[0] == (
        "7 (10.0.0.7:4000) holds AAPL, MSFT, GOOGL +3: 1,024 quotes behind, 128 KiB wait,"
        " stalled 12s, 340 missed, conflate"
    )
    assert found.next[1] == "qcfeed subscribers kick 7 8"


def test_who_was_late_for_a_moment_is_looked_at_again() -> None:
    judged = diagnose(evidence(slow=[subscriber(7, stalled_s=0.01)]))
    assert judged.verdict == "healthy"
    assert judged.to_recheck[0].headline == "1 of 2 subscribers was late: 10.0.0.7:4000"


def test_an_alert_that_is_pending_is_no_finding() -> None:
    judged = diagnose(evidence(alerts=[firing("QcfeedTaskGrowth", "pending")]))
    assert judged.verdict == "healthy"
    assert judged.checks[-1].result == "0 firing of 1 alert"


def test_every_alert_of_the_catalog_has_rules_that_explain_it() -> None:
    names = {each.name for each in vars(catalog).values() if isinstance(each, catalog.Alert)}
    assert names == alerts.EXPLAINED_BY.keys()
    rules = {rule for explained in alerts.EXPLAINED_BY.values() for rule in explained}
    assert rules <= {scenario.verdict for scenario in SCENARIOS.values()}


@pytest.mark.parametrize(
    ("points", "why"),
    [
        ([(at, 50e6 + 1e6 * at) for at in range(0, 61, 10)], "it has just started"),
        ([(at, 1e9 + 1e6 * min(at, 900)) for at in range(0, 1801, 10)], "it has ended"),
    ],
)
def test_what_is_remembered_and_is_no_growth(points: list[tuple[float, float]], why: str) -> None:
    held = Memory(resident_bytes=round(points[-1][1]), limit_bytes=4 * GIB, limit_source="x")
    seen = evidence(memory=held, history=[Point(at, memory=m, live=5.0) for at, m in points])
    assert diagnose(seen).verdict == "healthy", why


def test_the_blocking_line_and_its_source() -> None:
    found = worst(diagnose(evidence(after=STUCK, findings=told(BLOCKED))))
    assert found.headline == "the loop has been stuck for 12s, at app.py:31"
    assert (found.location, found.source) == ("app.py:31", "time.sleep(60)")
    assert "hash_all does not give it back" in found.cause
