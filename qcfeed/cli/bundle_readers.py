"""Which commands a bundle can answer: while one is read, only these are suggested."""

from __future__ import annotations

from collections.abc import Mapping

from qcfeed.control import routes
from qcfeed.observe.bundle import ALERTS, DIAGNOSIS, PROMETHEUS_HISTORY, Bundle

ANSWERED_BY: Mapping[str, tuple[str, ...]] = {
    "status": (routes.STATUS, routes.PROCESS),
    "diagnose": (DIAGNOSIS,),
    "orphans": (routes.ORPHANS,),
    "feeds": (routes.FEEDS,),
    "subscribers": (routes.SUBSCRIBERS,),
    "stacks": (routes.STACKS,),
    "growth": (routes.HISTORY, PROMETHEUS_HISTORY),
    "memory": (routes.MEMORY,),
    "tasks": (routes.TASKS_SNAPSHOT,),
    "logs": (routes.LOG,),
    "audit": (routes.AUDIT,),
    "alerts": (ALERTS,),
    "top": (routes.STATUS, routes.PROCESS),
}
"""Every command with --from that reads bundles, and the answers of which it needs one."""


def readers(opened: Bundle) -> frozenset[str]:
    """The commands that this bundle can answer."""
    return frozenset(
        command
        for command, answers in ANSWERED_BY.items()
        if any(opened.has(route) for route in answers)
    )
