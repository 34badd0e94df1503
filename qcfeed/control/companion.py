"""What answers requests that reach the control plane another way than HTTP; runs in its thread and loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any

from qcfeed.control.audit import Caller

logger = logging.getLogger(__name__)

Answer = Callable[[str, str, Mapping[str, str], bytes, Caller], Awaitable[tuple[int, bytes]]]
"""Answers a request: method, path, parameters, body and caller to HTTP status and JSON. Never raises."""
Companion = Callable[[Answer], Coroutine[Any, Any, None]]
"""Takes requests and gives them to ``Answer``, until it is cancelled."""


@contextlib.asynccontextmanager
async def running(companion: Companion | None, answer: Answer) -> AsyncIterator[None]:
    """Run the companion; at the end of the block it is cancelled and joined. If it fails, the log says so."""
    if companion is None:
        yield
        return
    task = asyncio.get_running_loop().create_task(companion(answer), name="control companion")
    task.add_done_callback(_report)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("the control plane answers over HTTP only", exc_info=error)
