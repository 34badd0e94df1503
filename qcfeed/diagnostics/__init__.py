"""Live-task diagnosis for any asyncio program.

Standard library only; imports nothing else of qcfeed. Begin with ``Ledger``::

    ledger = Ledger()
    ledger.install(asyncio.get_running_loop())
    with owned_by(subscriber), label(symbol="AAPL"):
        asyncio.create_task(serve(subscriber))

What reads the books is in modules of its own: snapshot, filters, orphans, awaiters, reaper...
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # typing's own costs as much to import as all of this
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
    """What is public, from its module when it is first asked for: a command needs none of it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
