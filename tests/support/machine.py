"""What a busy machine brings about by itself: true, and not what a test is about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

Finding = TypeVar("Finding")

BLOCKED = "blocked_loop"
"""A loop that the machine does not run for a while has not turned, and the rules say so."""


def of_the_program(findings: Iterable[Finding]) -> list[Finding]:
    """``findings`` without those of a loop that did not turn: objects with a ``rule``, or their JSON."""
    return [each for each in findings if _rule(each) != BLOCKED]


def _rule(finding: Any) -> str:
    return str(finding["rule"] if isinstance(finding, dict) else finding.rule)
