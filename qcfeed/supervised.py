"""The environment variable by which the supervisor of ``serve --workers`` informs each of its processes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

VARIABLE = "QCFEED_SUPERVISED"
REQUESTED = "requested"
REASONS = ("ended", "stuck", REQUESTED)
"""Why a process was started again: it ended by itself, was stuck and therefore killed, or on request."""


def describe(
    restarts: Mapping[str, int], *, last: str | None = None, successor: bool = False
) -> str:
    """The variable's value: how often the process was started again, by reason.

    ``last``: the reason of the last time. ``successor``: its predecessor still runs; the process gets ready beside
    it, and takes over when it ends.
    """
    more = ({_LAST: last} if last else {}) | ({_SUCCESSOR: True} if successor else {})
    return json.dumps(dict(restarts) | more)


def is_supervised() -> bool:
    """Whether this is a process of ``serve --workers``. Its supervisor prints the messages for people."""
    return VARIABLE in os.environ


def is_successor() -> bool:
    """Whether this process is to get ready beside the one whose name and ports it takes over."""
    return _reported().get(_SUCCESSOR) is True


def restarts() -> dict[str, int]:
    """How often this process was started again, by reason; empty without a supervisor."""
    try:
        reported = _reported()
        return {reason: int(reported[reason]) for reason in REASONS}
    except (KeyError, TypeError, ValueError):
        return {}


def last_restart() -> str | None:
    """Why this process was started again, one of REASONS; None at its first start, and without a supervisor."""
    last = _reported().get(_LAST)
    return last if last in REASONS else None


def _reported() -> dict[str, Any]:
    try:
        reported = json.loads(os.environ.get(VARIABLE, ""))
    except ValueError:
        return {}
    return reported if isinstance(reported, dict) else {}


_LAST = "last"
_SUCCESSOR = "successor"
