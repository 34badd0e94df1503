"""What the supervisor of ``serve --workers`` tells each of its processes, in one environment variable."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

VARIABLE = "QCFEED_SUPERVISED"
REASONS = ("ended", "stuck", "requested")
"""Why a process was started again: it ended by itself, was stuck and therefore killed, or on request."""


def describe(restarts: Mapping[str, int]) -> str:
    """The variable's value: how often the process was started again, by reason."""
    return json.dumps(dict(restarts))


def is_supervised() -> bool:
    """Whether this is a process of ``serve --workers``, whose supervisor has said what a person needs."""
    return VARIABLE in os.environ


def restarts() -> dict[str, int]:
    """How often this process was started again, by reason; empty without a supervisor."""
    try:
        told = json.loads(os.environ[VARIABLE])
        return {reason: int(told[reason]) for reason in REASONS}
    except (KeyError, TypeError, ValueError):
        return {}
