"""Every kept input, and every input that once failed, is read within its budgets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.budget import OverBudgetError, check, outcome
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
LONG = 65_536
"""Bytes by which inputs are lengthened: work that grows with their square would take many seconds."""


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_the_kept_inputs_are_read_or_refused(target: Target) -> None:
    inputs = sorted((CORPUS / target.name).iterdir())
    outcomes = {check(target, path.read_bytes()) for path in inputs}
    # Inputs that are all refused at the door would test little.
    assert "read" in outcomes, outcomes


def _lengthened(raw: bytes) -> Iterator[bytes]:
    """``raw`` repeated, and with much of one kind in its middle."""
    yield (raw * (LONG // max(len(raw), 1) + 1))[:LONG]
    for filling in (b"9", b"[", b" ", b",", raw[len(raw) // 2 : len(raw) // 2 + 1]):
        yield raw[: len(raw) // 2] + filling * LONG + raw[len(raw) // 2 :]


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_long_inputs_take_time_in_proportion(target: Target) -> None:
    for path in sorted((CORPUS / target.name).iterdir()):
        for raw in _lengthened(path.read_bytes()):
            begun = time.thread_time()
            outcome(target, raw)
            took = time.thread_time() - begun
            assert took < 1 + 20e-6 * len(raw), f"{took:.1f} s for {path.name} and {raw[:200]!r}"


def test_every_kept_input_belongs_to_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)


def _quadratic(raw: bytes) -> None:
    for _ in raw:
        for _ in raw:
            len(raw)


def _greedy(raw: bytes) -> None:
    bytes(10_000 * len(raw))


@pytest.mark.parametrize(
    ("read", "unit"), [(_quadratic, "calls"), (_greedy, "bytes")], ids=["work", "memory"]
)
def test_work_and_memory_out_of_proportion_are_noticed(read: object, unit: str) -> None:
    assert callable(read)
    with pytest.raises(OverBudgetError, match=unit):
        check(Target("bad", read), b"x" * 500)


def test_an_undeclared_error_is_noticed() -> None:
    with pytest.raises(UnicodeDecodeError):
        check(Target("bad", bytes.decode, (KeyError,)), b"\xff")
