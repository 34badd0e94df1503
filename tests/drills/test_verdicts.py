"""Every drill and its verdict: the cause, the page to read and the command to type next."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from qcfeed.drills.catalog import DRILLS, FEEDER, STANDBY, WORKER, parse
from qcfeed.errors import ExitStatus
from tests.support import agent
from tests.support.machine import OF_THE_MACHINE
from tests.support.nats_cluster import feeder, feeding
from tests.support.nats_server import needs_nats
from tests.support.shell import QCFEED, environment, serving, until
from tests.support.shell import qcfeed as run

SYMBOLS = ("AAPL", "MSFT", "GOOGL")


class Verdict(NamedTuple):
    """What `diagnose` says. ``command``: how the first suggested command goes on after ``qcfeed``."""

    rule: str
    kind: str
    page: str
    command: str


ORPHANS = Verdict("zombies", "LEAK", "QcfeedOrphanedTasks", "orphans --reap")
EXPECTED: dict[str, Verdict] = {
    "zombie-feeds=200": ORPHANS,
    "zombie-growth=6000": ORPHANS,
    "lost-readers": Verdict(
        "orphaned_subscriptions", "LEAK", "QcfeedOrphanedSubscriptions", "orphans --reap"
    ),
    "silent-upstream": Verdict("upstream", "UPSTREAM", "QcfeedQuotesStale", "feeds -o wide"),
    "flapping-upstream": Verdict("upstream", "UPSTREAM", "QcfeedUpstreamDown", "feeds -o wide"),
    "rubbish-upstream": Verdict("upstream", "UPSTREAM", "QcfeedQuotesStale", "feeds -o wide"),
    "stuck-loop": Verdict("blocked_loop", "BLOCKED", "QcfeedLoopLag", "stacks"),
    "slow-consumers": Verdict(
        "slow_subscribers", "SLOW", "QcfeedSlowConsumers", "subscribers --slow"
    ),
    "half-open-consumers": Verdict(
        "vanished_subscribers", "VANISHED", "half-open-consumers", "subscribers -o wide"
    ),
    "subscribe-storm": Verdict("refused_requests", "STORM", "subscribe-storm", "subscribers"),
    "refused-authentications": Verdict(
        "refused_authentications", "AUTHENTICATION", "QcfeedAuthenticationFails", "status"
    ),
    "memory-growth=600": Verdict("memory_growth", "MEMORY", "QcfeedMemoryRunsOut", "memory"),
    "replaced-factory": Verdict(
        "incomplete_ledger",
        "INCOMPLETE",
        "QcfeedLedgerIncomplete",
        "runbook QcfeedLedgerIncomplete",
    ),
    "lost-broker": Verdict("upstream", "UPSTREAM", "QcfeedBrokerAway", "feeds -o wide"),
    "lost-owner": Verdict("upstream", "UPSTREAM", "QcfeedNoOwner", "feeds -o wide"),
    "flapping-broker=2": Verdict("unstable_broker", "BROKER", "QcfeedBrokerUnstable", "logs"),
    "former-owner": Verdict("former_owner", "OWNER", "QcfeedFormerOwner", "--cluster status"),
    "leaked-interest": Verdict(
        "leaked_interest", "LEAK", "QcfeedInterestLeaked", "--cluster orphans"
    ),
    "slow-gateway": Verdict("slow_gateway", "SLOW", "QcfeedGatewayLags", "stacks"),
    "missed-renewals": Verdict(
        "missed_renewals", "LEASE", "QcfeedRenewalsMissed", "--cluster status"
    ),
    "refused-feeds": Verdict(
        "interest_without_feed", "UPSTREAM", "QcfeedInterestWithoutFeed", "feeds -o wide"
    ),
    "unheard-gateways": Verdict(
        "feed_without_interest", "LEAK", "QcfeedFeedWithoutInterest", "--cluster orphans"
    ),
    "second-owner": Verdict("two_owners", "OWNER", "QcfeedTwoOwners", "--cluster diagnose"),
    "clock-jump": Verdict("wrong_clock", "CLOCK", "QcfeedDrillLeftOn", "feeds -o wide"),
}
OF_A_WORKER = Verdict("restarted_worker", "RESTART", "QcfeedWorkersRestart", "--cluster diagnose")
"""Of the drill crashed-worker, which a process of a group begins and the next one explains."""
CALLS = 2
"""Diagnoses that an agent makes until it is told the cause."""
SETTINGS = {
    "half-open-consumers": ("--ping-interval", "1", "--stall-timeout", "60"),
    "slow-consumers": ("--upstream", "sim:?rate=200"),
    "subscribe-storm": ("--subscribe-rate", "50"),  # a busy machine exceeds it, too
}


@contextmanager
def watching(home: Path) -> Iterator[None]:
    """A live subscriber, without whom no quote is missed."""
    command = [QCFEED, "watch", "-o", "json", *SYMBOLS]
    process = subprocess.Popen(
        command, env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def diagnose(home: Path) -> dict[str, Any]:
    completed = run(home, "diagnose", "--window", "2s", "-o", "json")
    assert completed.returncode in (ExitStatus.OK, ExitStatus.FINDINGS), completed.stderr
    diagnosis: dict[str, Any] = json.loads(completed.stdout)
    assert (completed.returncode == ExitStatus.FINDINGS) == bool(diagnosis["findings"])
    return diagnosis


def causes(diagnosis: dict[str, Any], expected: Verdict) -> list[Verdict]:
    """The findings, without those that a busy machine brings about and that are not expected."""
    return [
        Verdict(
            each["rule"], each["kind"], each["runbook"], each["next"][0].removeprefix("qcfeed ")
        )
        for each in diagnosis["findings"]
        if each["rule"] == expected.rule or each["rule"] not in OF_THE_MACHINE
    ]


def test_every_drill_has_its_verdict() -> None:
    here = {each.partition("=")[0] for each in EXPECTED}
    assert here == {each.name for each in DRILLS if each.role != WORKER}


@contextmanager
def broken(home: Path, drill: str) -> Iterator[None]:
    """A service in ``home`` in which the drill runs, what it needs around it, and a subscriber."""
    settings = SETTINGS.get(drill.partition("=")[0], ())
    role, watcher = parse(drill).spec.role, home
    with ExitStack() as parts:
        if role in (FEEDER, STANDBY):
            watcher = home / "gateway"
            watcher.mkdir()
            if role == FEEDER:
                url = parts.enter_context(feeding(home, "--drill", drill))
            else:
                url = parts.enter_context(feeding(home / "owner"))
                parts.enter_context(feeder(home, "f2", url, "--lease", "1", "--drill", drill))
            parts.enter_context(serving(watcher, "--no-monitor", "--upstream", url))
        else:
            if role:
                settings = ("--upstream", parts.enter_context(feeding(home / "feeder")))
            parts.enter_context(serving(home, "--no-monitor", "--drill", drill, *settings))
        parts.enter_context(watching(watcher))
        yield


@pytest.mark.parametrize(
    "drill",
    [pytest.param(each, marks=needs_nats if parse(each).spec.role else ()) for each in EXPECTED],
)
def test_the_verdict_of_a_drill(tmp_path: Path, drill: str) -> None:
    expected = EXPECTED[drill]
    with broken(tmp_path, drill):
        seen: list[list[Verdict]] = []

        def is_told() -> bool:
            seen.append(causes(diagnose(tmp_path), expected))
            return expected in seen[-1]

        try:
            until(is_told, "the verdict")
        except AssertionError as error:
            raise AssertionError(f"{expected} was not told; instead: {seen[-1]}") from error
        assert seen[-1][0] == expected, "it is the first of the causes"
        told = [agent.ask_once(tmp_path, "diagnose", window_s=2) for _ in range(CALLS)]
        assert any(expected in causes(each, expected) for each in told), "an agent learns it"


@needs_nats
def test_the_verdict_of_a_worker_that_was_started_again(tmp_path: Path) -> None:
    options = ("--no-monitor", "--allow-drills", "--workers", "2", "--instance", "w")
    with serving(tmp_path, *options):
        started = run(tmp_path, "--instance", "w-1", "drill", "start", "crashed-worker")
        assert started.returncode == ExitStatus.OK, started.stderr

        def is_told() -> bool:
            asked = ("--instance", "w-1", "diagnose", "--window", "1s", "-o", "json")
            completed = run(tmp_path, *asked)
            if completed.returncode != ExitStatus.FINDINGS:  # it may not answer yet
                return False
            return OF_A_WORKER in causes(json.loads(completed.stdout), OF_A_WORKER)

        until(is_told, "the verdict")
        other = run(tmp_path, "--instance", "w-2", "diagnose", "--window", "1s", "-o", "json")
        assert OF_A_WORKER not in causes(json.loads(other.stdout), OF_A_WORKER)
