"""Each fault gives its verdict with its symptoms; without the fault's rule, the verdict differs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from qcfeed.control.handlers.findings import NEXT_COMMANDS
from qcfeed.diagnose import (
    alerts,
    authentication,
    causes,
    cluster_side,
    diagnostics_findings,
    leaks,
    loop,
    memory,
    quotes,
    subscribers,
    workers,
)
from qcfeed.diagnose.diagnostics_findings import MIN_UNTRACKED_GROWTH
from qcfeed.diagnose.evidence import ActiveAlert, Evidence
from qcfeed.diagnose.verdict import RULES, diagnose
from qcfeed.diagnostics.findings import Certainty
from qcfeed.metrics.catalog import alerts as catalog
from qcfeed.metrics.growth import Point
from qcfeed.model.cluster import ClusterStatus
from qcfeed.model.diagnosis import Diagnosis, DiagnosisFinding
from qcfeed.model.status import Memory
from qcfeed.model.tasks import GroupedTasks, TasksByLocation
from tests.support.evidence_builders import (
    GIB,
    LEAKY,
    feed,
    healthy,
    leak,
    ledger_findings,
    location,
    orphans,
    rule,
    samples,
    snapshot,
    status,
    subscriber,
)


def firing(name: str, state: str = "firing") -> ActiveAlert:
    return ActiveAlert(
        name=name, state=state, active_s=90.0, value=5.0, summary="s", first="qcfeed x"
    )


NEVER_ENDING = rule(
    "never_ending", certainty=Certainty.LIKELY, count=900, per_minute=90.0, since_s=600.0
)
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
    """A fault, its verdict, the symptoms that it explains, and the rule that finds it."""

    evidence: Callable[[], Evidence]
    verdict: str
    by: Callable[..., object]
    explains: tuple[str, ...] = ()


def on_nats(before: dict[str, Any] | None = None, **after: Any) -> dict[str, Any]:
    """Evidence of a gateway whose side of the cluster was ``before`` and is ``after``."""
    sides = [
        ClusterStatus(role="gateway", name="g", servers="nats://h:4222", connected=True, **fields)
        for fields in (before or {}, after)
    ]
    names = ("status_before", "status")
    return {
        name: msgspec.structs.replace(status(), cluster=side)
        for name, side in zip(names, sides, strict=True)
    }


SCENARIOS = {
    "growing orphans": Scenario(leak, "zombies", leaks.orphaned_tasks),
    "orphans that fill memory": Scenario(
        lambda: leak(samples=samples(30.0, tasks_per_s=1_000), count=60_000, more=5_000),
        "zombies",
        leaks.orphaned_tasks,
        ("memory_growth",),
    ),
    "orphans near the memory limit": Scenario(
        lambda: leak(
            memory=Memory(resident_bytes=15 * GIB, limit_bytes=16 * GIB, limit_source="cgroup v2"),
            count=400_000,
        ),
        "zombies",
        leaks.orphaned_tasks,
        ("memory_level",),
    ),
    "orphans that grow in the history": Scenario(
        lambda: leak(
            findings=ledger_findings(
                rule("orphans", count=20_000, since_s=900.0),
                rule("growing", count=20_000, per_minute=812.0, since_s=600.0),
            )
        ),
        "zombies",
        leaks.orphaned_tasks,
        ("growing",),
    ),
    "orphans that stall the loop briefly when they wake": Scenario(
        lambda: leak(
            findings=ledger_findings(
                rule("orphans", count=20_000, since_s=900.0),
                dataclasses.replace(BLOCKED, location=LEAKY, worst_s=0.12, ago_s=3.0),
            )
        ),
        "zombies",
        leaks.orphaned_tasks,
        ("blocked_loop",),
    ),
    "tasks that never end, in a program that declares no owners": Scenario(
        lambda: healthy(
            findings=ledger_findings(
                NEVER_ENDING,
                rule("growing", sure=False, count=900, per_minute=90.0),
                rule("abandoned_future", count=20),
            )
        ),
        "never_ending",
        leaks.never_ending_tasks,
        ("abandoned_future", "growing"),
    ),
    "a stuck loop with stale symbols": Scenario(
        lambda: healthy(after=STUCK, findings=ledger_findings(BLOCKED), feeds=SILENT),
        "blocked_loop",
        loop.blocked_loop,
        ("upstream",),
    ),
    "a stuck loop that the watchdog has not recorded": Scenario(
        lambda: healthy(after=STUCK), "blocked_loop", loop.blocked_loop
    ),
    "a past stall with late symbols": Scenario(
        lambda: healthy(
            findings=ledger_findings(dataclasses.replace(BLOCKED, ago_s=30.0)),
            feeds=[feed("AAPL", band="stale", reason="own_lag"), feed("MSFT")],
        ),
        "blocked_loop",
        loop.blocked_loop,
        ("own_lag",),
    ),
    "memory growth without tasks": Scenario(
        lambda: healthy(samples=samples(30.0)), "memory_growth", memory.memory_growth
    ),
    "memory growth beside a few orphans": Scenario(
        lambda: leak(count=3, more=0, samples=samples(30.0)), "memory_growth", memory.memory_growth
    ),
    "memory near its limit": Scenario(
        lambda: healthy(
            memory=Memory(resident_bytes=15 * GIB, limit_bytes=16 * GIB, limit_source="cgroup v2")
        ),
        "memory_level",
        memory.memory_near_limit,
    ),
    "a silent upstream": Scenario(lambda: healthy(feeds=SILENT), "upstream", quotes.upstream),
    "an upstream that is down": Scenario(
        lambda: healthy(status=status(connected=False)), "upstream", quotes.upstream
    ),
    "one dead symbol": Scenario(
        lambda: healthy(feeds=[feed("AAPL"), feed("IBM", band="dead", reason="upstream_silent")]),
        "stale_symbols",
        quotes.stale_symbols,
    ),
    "a symbol late by loop lag": Scenario(
        lambda: healthy(feeds=[feed("AAPL"), feed("IBM", band="stale", reason="own_lag")]),
        "own_lag",
        quotes.own_lag,
    ),
    "slow subscribers": Scenario(
        lambda: healthy(slow=[subscriber(7), subscriber(8, stalled_s=3.0)]),
        "slow_subscribers",
        subscribers.slow_subscribers,
    ),
    "a stuck loop with slow subscribers": Scenario(
        lambda: healthy(after=STUCK, findings=ledger_findings(BLOCKED), slow=[subscriber(7)]),
        "blocked_loop",
        loop.blocked_loop,
        ("slow_subscribers",),
    ),
    "an unexplained alert": Scenario(
        lambda: healthy(alerts=[firing("QcfeedTargetMissing")]),
        "QcfeedTargetMissing",
        alerts.firing_alerts,
    ),
    "orphans with their alerts": Scenario(
        lambda: leak(alerts=[firing("QcfeedTaskGrowth"), firing("QcfeedOrphanedTasks")]),
        "zombies",
        leaks.orphaned_tasks,
        ("QcfeedTaskGrowth", "QcfeedOrphanedTasks"),
    ),
    "a task that ignores cancellation": Scenario(
        lambda: healthy(findings=ledger_findings(rule("cancelled_in_vain", count=1))),
        "cancelled_in_vain",
        diagnostics_findings.ledger_findings,
    ),
    "subscriptions whose connection is closed": Scenario(
        lambda: healthy(
            status_before=msgspec.structs.replace(status(), orphaned_subscriptions=90),
            status=msgspec.structs.replace(status(), orphaned_subscriptions=100),
            alerts=[firing("QcfeedOrphanedSubscriptions")],
        ),
        "orphaned_subscriptions",
        subscribers.orphaned_subscriptions,
        ("QcfeedOrphanedSubscriptions",),
    ),
    "peers that vanished": Scenario(
        lambda: healthy(vanished=[subscriber(n, unanswered_s=9.0) for n in (7, 8, 9)]),
        "vanished_subscribers",
        subscribers.vanished_subscribers,
    ),
    "requests beyond a limit": Scenario(
        lambda: healthy(
            status_before=status(),
            status=msgspec.structs.replace(status(), refused={"rate_limited": 500}),
        ),
        "refused_requests",
        subscribers.refused_requests,
    ),
    "wrong keys": Scenario(
        lambda: healthy(
            status_before=status(),
            status=msgspec.structs.replace(status(), refused={"invalid_token": 500}),
            alerts=[firing("QcfeedAuthenticationFails")],
        ),
        "refused_authentications",
        authentication.refused_authentications,
        ("QcfeedAuthenticationFails",),
    ),
    "a file of keys that cannot be read": Scenario(
        lambda: healthy(
            status=msgspec.structs.replace(status(), access_problems=["--keys k: it is spoilt"])
        ),
        "refused_authentications",
        authentication.refused_authentications,
    ),
    "a connection to NATS that is lost again and again": Scenario(
        lambda: healthy(
            **on_nats(reconnects=5, lost_s=2.0), alerts=[firing("QcfeedBrokerUnstable")]
        ),
        "unstable_broker",
        cluster_side.unstable_broker,
        ("QcfeedBrokerUnstable",),
    ),
    "a feeder that ignores the end of its lease": Scenario(
        lambda: healthy(**on_nats(epochs_rejected=90), alerts=[firing("QcfeedFormerOwner")]),
        "former_owner",
        cluster_side.former_owner,
        ("QcfeedFormerOwner",),
    ),
    "subscriptions on NATS that outlived their subscribers": Scenario(
        lambda: healthy(
            **on_nats({"subscriptions_unread": 3}, subscriptions_unread=3),
            alerts=[firing("QcfeedInterestLeaked")],
        ),
        "leaked_interest",
        cluster_side.leaked_interest,
        ("QcfeedInterestLeaked",),
    ),
    "a feeder that gateways do not follow": Scenario(
        lambda: healthy(
            **on_nats({"higher_epoch": 9, "lease_epoch": 1}, higher_epoch=9, lease_epoch=1),
            alerts=[firing("QcfeedTwoOwners")],
        ),
        "two_owners",
        cluster_side.two_owners,
        ("QcfeedTwoOwners",),
    ),
    "a worker that crashed and was started again": Scenario(
        lambda: healthy(
            status=msgspec.structs.replace(
                status(),
                uptime_s=40.0,
                last_restart="ended",
                restarts_by_reason={"ended": 2, "stuck": 0, "requested": 1},
            ),
            alerts=[firing("QcfeedWorkersRestart")],
        ),
        "restarted_worker",
        workers.restarted_worker,
        ("QcfeedWorkersRestart",),
    ),
    "a gateway that lags": Scenario(
        lambda: healthy(**on_nats(quotes_skipped=70), alerts=[firing("QcfeedGatewayLags")]),
        "slow_gateway",
        cluster_side.slow_gateway,
        ("QcfeedGatewayLags",),
    ),
    "renewals of the lease that fail": Scenario(
        lambda: healthy(**on_nats(renewals_missed=4), alerts=[firing("QcfeedRenewalsMissed")]),
        "missed_renewals",
        cluster_side.missed_renewals,
        ("QcfeedRenewalsMissed",),
    ),
    "feeds for subscribers that are no gateways": Scenario(
        lambda: healthy(
            **on_nats({"feeds_without_interest": 2}, feeds_without_interest=2),
            alerts=[firing("QcfeedFeedWithoutInterest")],
        ),
        "feed_without_interest",
        cluster_side.feed_without_interest,
        ("QcfeedFeedWithoutInterest",),
    ),
    "symbols that an owner cannot open": Scenario(
        lambda: healthy(
            **on_nats({"interest_without_feed": 2}, interest_without_feed=3),
            alerts=[firing("QcfeedInterestWithoutFeed")],
        ),
        "interest_without_feed",
        cluster_side.interest_without_feed,
        ("QcfeedInterestWithoutFeed",),
    ),
    "timestamps of another hour": Scenario(
        lambda: healthy(
            feeds=[
                feed(each, age_s=1.0, last_quote_at="2024-03-20T03:15:04Z")
                for each in ("AAPL", "MSFT")
            ]
        ),
        "wrong_clock",
        quotes.wrong_clock,
    ),
    "a running drill": Scenario(
        lambda: healthy(status=status(drill="zombie-feeds")),
        "drill",
        diagnostics_findings.running_drill,
    ),
    "an incomplete ledger": Scenario(
        lambda: healthy(after=_incomplete("cannot see 2,001 of 2,002 tasks: a new factory")),
        "incomplete_ledger",
        diagnostics_findings.incomplete_ledger,
    ),
    "an incomplete ledger with growing untracked tasks": Scenario(
        lambda: healthy(
            after=_incomplete("cannot see 99 of 101 tasks: a new factory"),
            findings=ledger_findings(UNTRACKED),
            alerts=[firing("QcfeedLedgerIncomplete")],
        ),
        "incomplete_ledger",
        diagnostics_findings.incomplete_ledger,
        ("untracked_tasks", "QcfeedLedgerIncomplete"),
    ),
    "growing untracked tasks": Scenario(
        lambda: healthy(findings=ledger_findings(UNTRACKED)),
        "untracked_tasks",
        diagnostics_findings.ledger_findings,
    ),
}


UNTRACKED = rule("untracked_tasks", "", summary="untracked tasks keep growing: 9 to 99")


def _incomplete(reason: str) -> TasksByLocation:
    after = healthy().after
    totals = msgspec.structs.replace(after.totals, incomplete=[reason])
    return msgspec.structs.replace(after, totals=totals)


every_scenario = pytest.mark.parametrize("name", SCENARIOS)


def worst(diagnosis: Diagnosis) -> DiagnosisFinding:
    return diagnosis.findings[0]


@every_scenario
def test_the_cause_comes_first_with_its_symptoms(name: str) -> None:
    scenario = SCENARIOS[name]
    judged = diagnose(scenario.evidence())
    assert judged.verdict == scenario.verdict
    assert tuple(each.rule for each in worst(judged).symptoms) == scenario.explains
    assert not {each.rule for each in judged.findings} & set(scenario.explains)
    assert worst(judged).safe
    assert all(command.startswith("qcfeed ") for command in worst(judged).next)
    assert worst(judged).next


@every_scenario
def test_without_its_rule_the_fault_is_not_found(name: str) -> None:
    scenario = SCENARIOS[name]
    rest = [rule for rule in RULES if rule is not scenario.by]
    assert len(rest) == len(RULES) - 1
    assert diagnose(scenario.evidence(), rest).verdict != scenario.verdict


@pytest.mark.parametrize("name", [name for name, each in SCENARIOS.items() if each.explains])
def test_without_its_relation_the_symptom_is_a_finding_of_its_own(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = SCENARIOS[name]
    monkeypatch.setattr(causes, "RELATIONS", {})
    judged = diagnose(scenario.evidence())
    beside = {each.rule for each in (*judged.findings, *judged.to_recheck)}
    assert beside >= set(scenario.explains)


def test_untracked_tasks_that_do_not_grow_are_a_warning() -> None:
    many = "cannot see what created 30 of 40 tasks"
    evidence = healthy(
        findings=ledger_findings(rule("untracked_tasks", "", sure=False, summary=many))
    )
    judged = diagnose(evidence)
    assert (judged.verdict, judged.findings) == ("suspected", [])
    (again,) = judged.to_recheck
    assert (again.headline, again.cause, again.runbook) == (many, many, "QcfeedLedgerIncomplete")


@pytest.mark.parametrize("untracked", [(5, 24), (5, 25), (300, 20)])
def test_untracked_tasks_that_grow_meanwhile_are_never_called_healthy(
    untracked: tuple[int, int],
) -> None:
    evidence = healthy(
        findings=ledger_findings(rule("untracked_tasks", "", sure=False, evidence=["of wait (9)"]))
    )
    evidence.before.totals.untracked, evidence.after.totals.untracked = untracked
    judged = diagnose(evidence)
    grew = untracked[1] - untracked[0]
    assert judged.checks[0].result.endswith(f"; {untracked[1]} untracked, {grew:+}")
    if grew < MIN_UNTRACKED_GROWTH:
        assert (judged.verdict, judged.findings) == ("suspected", [])
    else:
        assert judged.verdict == "untracked_tasks"
        assert judged.headline.startswith("UNTRACKED  20 more untracked tasks in 5.0s, 25 in all: ")
        assert judged.findings[0].evidence[-1] == "of wait (9)"


def test_untracked_tasks_that_serve_connections_may_grow() -> None:
    evidence = healthy()
    evidence.before.totals.untracked, evidence.after.totals.untracked = 5, 500
    assert diagnose(evidence).verdict == "untracked_tasks"
    assert evidence.findings is not None
    evidence.findings.untracked_explained = True
    assert diagnose(evidence).verdict == "healthy"


def test_untracked_tasks_are_part_of_a_healthy_verdict() -> None:
    evidence = healthy()
    evidence.before.totals.untracked = evidence.after.totals.untracked = 24
    assert diagnose(evidence).headline.startswith("HEALTHY  2 tasks, 24 untracked, 2 feeds")


def test_a_healthy_verdict_lists_what_was_checked() -> None:
    judged = diagnose(healthy())
    assert (judged.verdict, judged.findings, judged.to_recheck) == ("healthy", [], [])
    assert judged.headline.startswith("HEALTHY  2 tasks, 2 feeds, 4 subscriptions")
    at = [each.subject for each in judged.checks]
    assert at == ["tasks", "memory", "loop", "history", "quotes", "subscribers"]


def test_nothing_is_called_healthy_before_a_slow_leak_would_show() -> None:
    judged = diagnose(healthy(findings=ledger_findings(watched_s=12.0)))
    assert (judged.verdict, judged.findings) == ("too_early", [])
    assert judged.headline.startswith("NOTHING FOUND YET  2 tasks")
    assert judged.headline.endswith("watched for 12s, and a leak of 1 task per second needs 1m00s")


def test_what_could_not_be_read_is_a_finding_and_never_all_is_well() -> None:
    unread = diagnose(healthy(findings=None, skipped=["findings of the rules: timed out"]))
    assert (unread.verdict, worst(unread).kind) == ("incomplete_ledger", "INCOMPLETE")
    assert unread.headline == f"INCOMPLETE  {diagnostics_findings.UNREAD.partition(': ')[0]}"
    assert worst(unread).next == ["qcfeed --timeout 60 diagnose"]
    failed = rule(
        "incomplete_ledger", "", summary="the last snapshot failed: OSError: no more files"
    )
    judged = diagnose(healthy(findings=ledger_findings(failed)))
    assert judged.verdict == "incomplete_ledger"
    assert worst(judged).cause == "the last snapshot failed: OSError: no more files"


def test_the_same_reason_is_told_once() -> None:
    """The ledger and the rules are asked one after the other, and count other tasks."""
    evidence = healthy(
        findings=ledger_findings(rule("incomplete_ledger", "", summary="cannot see 6 of 8 tasks"))
    )
    evidence.after = _incomplete("cannot see 5 of 7 tasks")
    assert [each.cause for each in diagnose(evidence).findings] == ["cannot see 5 of 7 tasks"]


@pytest.mark.parametrize(
    ("vanished", "connections", "is_finding"),
    [(1, 2, False), (2, 2, False), (3, 300, True), (3, 301, False), (10, 301, True)],
)
def test_a_few_vanished_peers_are_a_warning(
    vanished: int, connections: int, is_finding: bool
) -> None:
    judged = diagnose(
        healthy(
            vanished=[subscriber(number, unanswered_s=9.0) for number in range(vanished)],
            status=msgspec.structs.replace(status(), connections=connections),
        )
    )
    assert (judged.verdict == "vanished_subscribers") == is_finding
    assert (judged.verdict == "healthy") != is_finding
    assert len(judged.findings) + len(judged.to_recheck) == 1


@pytest.mark.parametrize(("earlier", "verdict"), [(19, "healthy"), (107, "too_early")])
def test_a_program_with_mostly_unknown_tasks_is_not_called_healthy(
    earlier: int, verdict: str
) -> None:
    group = GroupedTasks(
        coroutine="refresh",
        location="leak.py:2",
        function="refresh",
        waiting="Event.wait",
        count=earlier,
    )
    evidence = healthy()
    evidence.after.earlier = [group]
    judged = diagnose(evidence)
    assert judged.verdict == verdict
    [told] = [each.result for each in judged.checks if each.subject == "earlier"]
    assert told == (
        f"{earlier} tasks from before the ledger: {earlier} run refresh and wait at leak.py:2"
        " (Event.wait)"
    )


def test_a_suspicion_is_never_called_healthy() -> None:
    grows = rule("growing", sure=False, count=900, per_minute=90.0, since_s=600.0)
    judged = diagnose(healthy(findings=ledger_findings(grows)))
    assert (judged.verdict, judged.findings) == ("suspected", [])
    assert judged.headline == f"LOOK AGAIN  suspected: tasks from {LEAKY} grow by 90 per minute"
    assert [(each.kind, each.rule) for each in judged.to_recheck] == [("GROWING", "growing")]


def test_a_leak_is_likely_before_it_is_proved() -> None:
    likely = worst(diagnose(healthy(findings=ledger_findings(NEVER_ENDING))))
    proved = worst(diagnose(healthy(findings=ledger_findings(rule("never_ending", count=900)))))
    assert (likely.kind, likely.certainty) == ("LEAK?", "likely")
    assert (proved.kind, proved.certainty) == ("LEAK", "proved")
    assert likely.headline == f"900 tasks from {LEAKY} do not end"


def test_orphans_are_not_reported_as_never_ending_too() -> None:
    both = leak(findings=ledger_findings(rule("orphans", count=20_000), NEVER_ENDING))
    assert [each.rule for each in diagnose(both).findings] == ["zombies"]


LEDGER_RULES = sorted(set(NEXT_COMMANDS) - {"growing", "late_wakeup"})
"""Rules that can prove something; the other two only suspect."""


@pytest.mark.parametrize("name", LEDGER_RULES)
@pytest.mark.parametrize("certainty", list(Certainty))
def test_the_verdict_and_the_list_of_findings_agree(name: str, certainty: Certainty) -> None:
    """`qcfeed diagnose` and `qcfeed tasks findings` exit with the same status."""
    figures = {"count": 1, "worst_s": 3.0, "ago_s": 1.0, "since_s": 4.0, "place": "app.py:31 f"}
    told = rule(name, certainty=certainty, **figures)
    evidence = healthy(findings=ledger_findings(told))
    if name == "orphans":
        evidence.after = snapshot(location(live=9, orphaned=9), after_s=5.0)
    if name == "incomplete_ledger":
        evidence.after = _incomplete(told.summary)
    is_finding = certainty is not Certainty.SUSPECTED or name in (
        "blocked_loop",
        "incomplete_ledger",
    )
    assert bool(diagnose(evidence).findings) == is_finding


def test_explained_growth_is_told_as_demand() -> None:
    told = f"{LEAKY}: 90 live, +60 per minute; each holds an open connection"
    judged = diagnose(healthy(findings=ledger_findings(explained=[told])))
    assert judged.verdict == "healthy"
    assert [each.result for each in judged.checks if each.subject == "demand"] == [told]


def test_tasks_in_doubt_are_never_called_healthy() -> None:
    told = ["bot.py:88: 6 tasks have not ended so far", "web.py:7: live tasks have grown"]
    evidence = healthy(findings=ledger_findings())
    assert evidence.findings is not None
    evidence.findings.undecided = told
    judged = diagnose(evidence)
    assert (judged.verdict, judged.findings, judged.to_recheck) == ("too_early", [], [])
    assert judged.headline == (
        f"NOTHING FOUND YET  2 tasks, 2 feeds, 4 subscriptions: {told[0]}, and 1 more"
    )
    assert [each.result for each in judged.checks if each.subject == "undecided"] == told
    evidence.findings.undecided = told[:1]
    assert diagnose(evidence).headline.endswith(told[0])


@pytest.mark.parametrize(("snapshots", "verdict"), [(5, "too_early"), (6, "healthy")])
def test_without_enough_snapshots_growth_cannot_be_seen(snapshots: int, verdict: str) -> None:
    evidence = healthy(findings=ledger_findings())
    assert evidence.findings is not None
    evidence.findings.snapshots = snapshots
    judged = diagnose(evidence)
    assert judged.verdict == verdict
    assert ("5 snapshots, and growth needs 6" in judged.headline) is (verdict == "too_early")


def test_the_sentences_for_the_incident() -> None:
    found = worst(diagnose(leak()))
    assert found.headline == f"20,000 tasks from {LEAKY} are orphaned"
    assert found.cause == (
        f"tasks spawned at {LEAKY} are orphaned and grow by 720 per minute: they ignore failed sends"
    )
    assert (found.location, found.source) == (LEAKY, "tokio_spawn(generate())")
    assert (found.began_s, found.per_minute, found.count) == (13_620.0, 720.0, 20_000)
    assert "2 of 3 sampled tasks have run since their subscriber left" in found.evidence
    assert found.evidence[-1] == (
        "6h56m until memory reaches 16.0 GiB: 720 more tasks per minute, 52.4 KiB each at most"
    )
    # 15 GiB of room; 1 GiB among 20,000 tasks is 53,687 B each, 720 a minute more
    assert found.left_s == pytest.approx(15 * GIB / (GIB / 20_000) / 720 * 60)


def test_failed_sends_are_only_named_for_subscriber_tasks_that_have_run_since() -> None:
    asleep = leak(orphans=orphans(721.0))
    assert worst(diagnose(asleep)).cause.endswith("they stay alive although their owner is gone")
    program = leak(orphans=orphans(0.2, owner="session of ann"))
    assert worst(diagnose(program)).cause.endswith("they keep running although their owner is gone")


def test_orphans_that_wait_for_their_owner() -> None:
    waits = [{"state": "Queue.get", "count": 500}]
    row = msgspec.convert(
        msgspec.to_builtins(location(live=500, orphaned=500)) | {"waits": waits, "sampled": 500},
        type(location()),
    )
    evidence = leak(after=snapshot(row, after_s=5.0), orphans=orphans(None))
    assert "they wait (Queue.get) for something that their owner" in worst(diagnose(evidence)).cause


def test_orphans_that_are_not_proved_yet_are_a_warning() -> None:
    judged = diagnose(
        leak(findings=ledger_findings(rule("orphans", sure=False, count=20_000, since_s=1.0)))
    )
    assert judged.verdict == "suspected"
    assert [each.rule for each in judged.to_recheck] == ["zombies"]


def test_a_feed_that_is_just_closing_is_no_warning() -> None:
    assert diagnose(leak(count=2, more=0, findings=ledger_findings())).to_recheck == []


def test_quiet_symbols_are_a_warning() -> None:
    quiet = [feed("AAPL"), feed("IBM", band="stale", reason="upstream_silent")]
    judged = diagnose(healthy(feeds=quiet))
    assert judged.verdict == "healthy"
    assert [each.rule for each in judged.to_recheck] == ["stale_symbols"]


def test_an_old_or_short_stall_is_a_warning() -> None:
    old = dataclasses.replace(BLOCKED, ago_s=1_800.0)
    short = dataclasses.replace(BLOCKED, worst_s=0.2, ago_s=1.0, count=7)
    for stall in (old, short):
        judged = diagnose(healthy(findings=ledger_findings(stall)))
        assert judged.verdict == "healthy"
        assert [each.rule for each in judged.to_recheck] == ["blocked_loop"]


@pytest.mark.parametrize(
    ("mb_per_s", "why"), [(0.5, "ends in nine hours"), (-30.0, "falls"), (0.0, "stands still")]
)
def test_memory_that_grows_slowly_or_not_at_all_is_healthy(mb_per_s: float, why: str) -> None:
    assert diagnose(healthy(samples=samples(mb_per_s))).verdict == "healthy", why


def test_a_single_step_of_memory_is_healthy() -> None:
    step = [each._replace(memory=GIB + (each.at > 1) * 2**28) for each in samples(0.0)]
    assert diagnose(healthy(samples=step)).verdict == "healthy"


def test_next_commands_address_the_same_service() -> None:
    judged = diagnose(leak(command="qcfeed --instance blue"))
    assert worst(judged).next[0] == "qcfeed --instance blue orphans --reap"


def test_an_attached_program_is_checked_without_feeds() -> None:
    judged = diagnose(healthy(status=None, feeds=[]))
    assert [each.subject for each in judged.checks] == ["tasks", "memory", "loop", "history"]


def test_a_diagnosis_survives_json() -> None:
    judged = diagnose(leak(samples=samples(30.0, tasks_per_s=12)))
    assert msgspec.json.decode(msgspec.json.encode(judged), type=Diagnosis) == judged


def test_the_history_can_leave_less_time_than_the_window() -> None:
    """The incident's last quarter of an hour: 7.2 to 14.2 GB, one sample in 15 s."""
    remembered = [
        Point(at, memory=7.2e9 + 7e9 * at / 900, live=24_567 + 23_262 * at / 900)
        for at in range(0, 901, 15)
    ]
    held = Memory(resident_bytes=14_200_000_000, limit_bytes=16_000_000_000, limit_source="x")
    judged = diagnose(healthy(memory=held, history=remembered, samples=samples(0.0)))
    assert judged.verdict == "memory_growth"
    assert worst(judged).left_s == pytest.approx(231, abs=1)
    assert "15m00s" in " ".join(worst(judged).evidence)


def test_slow_subscribers_are_named_the_furthest_behind_first() -> None:
    found = worst(diagnose(healthy(slow=[subscriber(8, stalled_s=3.0), subscriber(7)])))
    assert found.headline == "2 of 2 subscribers do not read: 10.0.0.7:4000, 10.0.0.8:4000"
    assert found.evidence[0] == (
        "7 (10.0.0.7:4000) subscribes to AAPL, MSFT, GOOGL +3: 1,024 quotes behind, 128 KiB queued,"
        " stalled 12s, 340 missed, conflate"
    )
    assert found.next[1] == "qcfeed subscribers kick --slow"


@pytest.mark.parametrize(("tasks", "explains"), [(1_200, True), (1_199, False), (32, False)])
def test_a_few_orphans_do_not_explain_a_stall(tasks: int, explains: bool) -> None:
    """Of 0.12 s: that is 1,200 tasks, at 0.1 ms each."""
    stall = dataclasses.replace(BLOCKED, location=LEAKY, worst_s=0.12, ago_s=3.0)
    found = ledger_findings(rule("orphans", count=tasks, since_s=900.0), stall)
    cause = worst(diagnose(leak(count=tasks, more=0, findings=found)))
    assert ("blocked_loop" in {each.rule for each in cause.symptoms}) == explains


def test_a_subscriber_that_was_briefly_behind_is_a_warning() -> None:
    judged = diagnose(healthy(slow=[subscriber(7, stalled_s=0.01)]))
    assert judged.verdict == "healthy"
    assert judged.to_recheck[0].headline == "1 of 2 subscribers was briefly behind: 10.0.0.7:4000"


def test_a_pending_alert_is_no_finding() -> None:
    judged = diagnose(healthy(alerts=[firing("QcfeedTaskGrowth", "pending")]))
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
def test_history_that_is_no_growth(points: list[tuple[float, float]], why: str) -> None:
    held = Memory(resident_bytes=round(points[-1][1]), limit_bytes=4 * GIB, limit_source="x")
    evidence = healthy(memory=held, history=[Point(at, memory=m, live=5.0) for at, m in points])
    assert diagnose(evidence).verdict == "healthy", why


def test_the_blocking_line_and_its_source() -> None:
    found = worst(diagnose(healthy(after=STUCK, findings=ledger_findings(BLOCKED))))
    assert found.headline == "the loop has been stuck for 12s, at app.py:31"
    assert (found.location, found.source) == ("app.py:31", "time.sleep(60)")
    assert "hash_all blocks it" in found.cause
