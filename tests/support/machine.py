"""What a busy machine brings about by itself: true, and not what a test is about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

Finding = TypeVar("Finding")

BLOCKED = "blocked_loop"
OF_THE_MACHINE = frozenset({BLOCKED, "late_wakeup"})
"""Rules whose findings a busy machine alone can cause: it did not run the loop for a while."""


def of_the_program(findings: Iterable[Finding]) -> list[Finding]:
    """``findings`` without those of OF_THE_MACHINE: objects with a ``rule``, or their JSON."""
    return [each for each in findings if _rule(each) not in OF_THE_MACHINE]


def _rule(finding: Any) -> str:
    return str(finding["rule"] if isinstance(finding, dict) else finding.rule)
