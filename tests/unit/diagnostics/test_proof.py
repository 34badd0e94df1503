from __future__ import annotations

import random

import pytest

from qcfeed.diagnostics.proof import LocationSample, ProofOutcome, judge


def samples(live: list[int], spawned: int = 100, orphaned: int = 0) -> list[LocationSample]:
    last = len(live) - 1
    return [LocationSample(n, spawned * i // max(1, last), orphaned) for i, n in enumerate(live)]


def test_it_holds_when_tasks_come_and_go() -> None:
    proof = judge(samples([5, 6, 4, 7, 5, 6, 4, 5, 6]), 20)
    assert (proof.outcome, proof.reasons) == (ProofOutcome.HOLDS, [])
    assert (proof.spawned, proof.live_first, proof.live_last) == (100, 5, 6)


@pytest.mark.parametrize("a_minute", [1, 20, 800])
def test_a_slow_steady_leak_is_found(a_minute: int) -> None:
    live = [47_829 + a_minute * n // 6 for n in range(61)]
    proof = judge(samples(live), 20)
    assert proof.outcome is ProofOutcome.LEAKS
    assert proof.reasons == [f"live tasks grew: the lowest number rose by {proof.growth:,}"]


@pytest.mark.parametrize("seed", range(20))
def test_a_leak_under_traffic_is_found_and_traffic_alone_is_no_leak(seed: int) -> None:
    chance = random.Random(seed)
    busy = [max(0, round(chance.gauss(30, 5))) for _ in range(61)]
    assert judge(samples(busy), 20).outcome is ProofOutcome.HOLDS
    leaking = [n + 20 * i // 6 for i, n in enumerate(busy)]  # the incident's 20 a minute
    assert judge(samples(leaking), 20).outcome is ProofOutcome.LEAKS


def test_lasting_orphans_are_a_leak() -> None:
    assert judge(samples([3] * 9, orphaned=3), 20).outcome is ProofOutcome.LEAKS
    passing = [*samples([3] * 8), LocationSample(3, 100, 2)]
    assert judge(passing, 20).outcome is ProofOutcome.HOLDS


def test_too_little_traffic_is_no_proof() -> None:
    proof = judge(samples([5] * 9, spawned=19), 20)
    assert proof.outcome is ProofOutcome.UNPROVEN
    assert proof.reasons == ["too little traffic to tell: 19 tasks created, 20 needed"]
    assert judge(samples([5] * 9, spawned=20), 20).outcome is ProofOutcome.HOLDS


def test_a_leak_without_traffic_is_a_leak_all_the_same() -> None:
    assert judge(samples([5, 6, 7, 8, 9, 10], spawned=5), 20).outcome is ProofOutcome.LEAKS


def test_too_few_samples_prove_nothing() -> None:
    proof = judge(samples([5] * 5), 20)
    assert proof.outcome is ProofOutcome.UNPROVEN
    assert proof.reasons == ["too short to tell: 5 samples, 6 needed"]
    none = judge([], 20)
    assert (none.outcome, none.reasons) == (ProofOutcome.UNPROVEN, ["there is no sample yet"])
    figures = (none.spawned, none.live_first, none.live_last, none.growth, none.orphaned)
    assert figures == (0, 0, 0, 0, 0)
    assert judge(samples([1, 2, 3, 4, 5]), 20).growth == 0, "too few samples to tell"
    assert judge(samples([1, 2, 3, 4, 5, 6]), 20).growth == 4
