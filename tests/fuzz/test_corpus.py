"""Every kept input, and every input that once failed, is read within its budgets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.budget import OverBudgetError, check
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_the_kept_inputs_are_read_or_refused(target: Target) -> None:
    inputs = sorted((CORPUS / target.name).iterdir())
    outcomes = {check(target, path.read_bytes()) for path in inputs}
    # Inputs that are all refused at the door would test little.
    assert "read" in outcomes, outcomes


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
