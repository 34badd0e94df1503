"""Plans: an agent's action is described first, and happens only when the plan is confirmed by its id. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import NamedTuple

from qcfeed.errors import NotFoundError
from qcfeed.model.answer import Answer

LIFETIME_S = 300.0
"""Seconds after which a plan can no longer be confirmed: by then it describes another situation."""
MOST = 20
"""Plans that are kept; a new one replaces the oldest."""


class Plan(NamedTuple):
    """``carry_out`` does what ``summary`` says, and nothing else. ``made_at``: by the clock of Plans."""

    id: str
    summary: str
    made_at: float
    carry_out: Callable[[str], Answer]
    """Takes the plan's id, which goes into the audit log."""


class Plans:
    """The plans that wait for a confirmation. ``clock``: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._plans: dict[str, Plan] = {}

    def add(self, summary: str, carry_out: Callable[[str], Answer]) -> Plan:
        """Keep a plan and return it with its id."""
        plan = Plan(secrets.token_hex(4), summary, self._clock(), carry_out)
        self._plans[plan.id] = plan
        while len(self._plans) > MOST:
            del self._plans[next(iter(self._plans))]
        return plan

    def take(self, plan_id: str) -> Plan:
        """Remove a plan and return it: it can be carried out once. Raises NotFoundError."""
        plan = self._plans.pop(plan_id, None)
        if plan is None or self._clock() - plan.made_at > LIFETIME_S:
            raise NotFoundError(
                f"no plan {plan_id!r} waits for a confirmation; nothing was done",
                hint=f"a plan is valid once, for {LIFETIME_S:.0f} s: call the plan_ tool again",
            )
        return plan
