"""Diagnostics of the live tasks of any asyncio program.

The package uses the standard library only and imports no other part of qcfeed. It works inside one
process; ``qcfeed.attach()`` adds a control plane for the ``qcfeed`` commands. Start with ``Ledger``::

    ledger = Ledger()
    ledger.install(asyncio.get_running_loop())
    with owned_by(subscriber), label(symbol="AAPL"):
        task = asyncio.create_task(serve(subscriber))

What was recorded is read by other modules: ``snapshot`` (tasks by spawn location), ``orphans``
(tasks whose owner is gone), ``filters``, ``waits`` (what tasks wait on), ``awaiters`` (which tasks
wait for a task), ``reaper`` (cancel tasks and wait for their end), ``rules`` (findings).
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # importing typing for its constant costs as much as this whole package
if TYPE_CHECKING:
    from qcfeed.diagnostics.filters import Filter
    from qcfeed.diagnostics.labels import label
    from qcfeed.diagnostics.leakcheck import LeakError, verify_no_leaks
    from qcfeed.diagnostics.ledger import Ledger
    from qcfeed.diagnostics.loop_watch import LoopWatch
    from qcfeed.diagnostics.task_context import owned_by

__all__ = ["Filter", "LeakError", "Ledger", "LoopWatch", "label", "owned_by", "verify_no_leaks"]

_HOMES = {
    "Filter": "filters",
    "LeakError": "leakcheck",
    "Ledger": "ledger",
    "LoopWatch": "loop_watch",
    "label": "labels",
    "owned_by": "task_context",
    "verify_no_leaks": "leakcheck",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, because most commands need none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
