"""What a running service consists of, for those who look at it (views.py, metrics.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from qcfeed.config import Config
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.diagnostics.pauses import GcPauses
from qcfeed.model.answers import Listening
from qcfeed.server.gateway import Gateway
from qcfeed.server.hub import Hub


@dataclass(frozen=True, slots=True)
class Parts:
    """Handles of the parts; app.py puts them together. ``started_at`` is Unix seconds.

    ``drill`` says which drill is on, if any.
    """

    config: Config
    loop: asyncio.AbstractEventLoop
    ledger: Ledger
    watch: LoopWatch
    pauses: GcPauses
    hub: Hub
    gateway: Gateway
    listening: Listening
    started_at: float
    drill: Callable[[], str | None]
