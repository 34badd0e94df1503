"""One upstream under test: its feeds, the tasks that it creates, and what it leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncIterator, Coroutine, Generator, Iterator
from pathlib import Path
from typing import Any
from weakref import WeakSet

from qcfeed.errors import UpstreamError
from qcfeed.model.symbol import parse
from qcfeed.upstreams.base import Upstream
from qcfeed.upstreams.conformance.sink import KeepingSink

_inside = contextvars.ContextVar("inside_upstream", default=False)
"""True in the code of the upstream and in all tasks that it creates, and not in a test's own server."""


class ConformanceSession:
    """``patience``: seconds to wait for what must happen."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        """The tasks that the upstream created."""
        self._sinks: list[KeepingSink] = []

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Note the upstream's tasks from now on."""
        loop.set_task_factory(self._create_task)

    def _create_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        **kwargs: Any,
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, **kwargs)
        context = kwargs.get("context")
        if _inside.get() if context is None else context.get(_inside):
            self.tasks.add(task)
        return task

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """What runs in the block is the upstream's code."""
        token = _inside.set(True)
        try:
            yield
        finally:
            _inside.reset(token)

    def alive(self) -> list[asyncio.Task[Any]]:
        """The upstream's tasks that have not ended."""
        return [task for task in self.tasks if not task.done()]

    @contextlib.asynccontextmanager
    async def feed(
        self, upstream: Upstream, symbol: str, sink: KeepingSink | None = None
    ) -> AsyncIterator[tuple[KeepingSink, asyncio.Task[None]]]:
        """Run one feed; at the end of the block it is cancelled and joined."""
        sink = sink or KeepingSink()
        task = self.start(upstream, symbol, sink)
        try:
            yield sink, task
        finally:
            if not task.done():
                await self.cancel(sink, task)
            sink.ended = True

    def start(self, upstream: Upstream, symbol: str, sink: KeepingSink) -> asyncio.Task[None]:
        """The task of a feed. ``cancel`` must be awaited for it."""
        self._sinks.append(sink)
        with self.inside():
            task = asyncio.create_task(upstream.run(parse(symbol), sink), name=f"feed {symbol}")
        self.tasks.discard(task)
        return task

    async def cancel(self, sink: KeepingSink, task: asyncio.Task[None]) -> None:
        """Cancel a feed and wait for its end. Raises AssertionError if it does not end as it must."""
        task.cancel()
        await self.end(sink, task, "within {:g} s after its cancellation")
        if not task.cancelled() and not isinstance(task.exception(), UpstreamError):
            swallowed = task.exception() or "it returned"
            raise AssertionError(f"run() did not let CancelledError pass: {swallowed!r}")

    async def end(
        self, sink: KeepingSink, task: asyncio.Task[None], when: str = "in {:g} s"
    ) -> None:
        """Wait for the end of a feed."""
        await asyncio.wait((task,), timeout=self.patience)
        assert task.done(), f"run() did not end {when.format(self.patience)}"
        sink.ended = True

    async def quotes(self, sink: KeepingSink, task: asyncio.Task[None], count: int = 1) -> None:
        """Wait until the feed has published ``count`` more ticks."""
        reached = len(sink.ticks) + count
        if await self.published_or_ended(sink, task, count):
            return
        if not task.done():
            raise AssertionError(
                f"{len(sink.ticks)} ticks within {self.patience:g} s, {reached} were expected"
            )
        problem = "was cancelled" if task.cancelled() else repr(task.exception() or "returned")
        raise AssertionError(f"run() ended instead of publishing: {problem}")

    async def published_or_ended(
        self, sink: KeepingSink, task: asyncio.Task[None], count: int = 1
    ) -> bool:
        """Wait for ``count`` more ticks or the feed's end; whether there were the ticks."""
        reached = len(sink.ticks) + count
        enough = asyncio.create_task(sink.until_ticks(reached, within=self.patience))
        await asyncio.wait((enough, task), return_when=asyncio.FIRST_COMPLETED)
        enough.cancel()
        await asyncio.wait((enough,))
        return len(sink.ticks) >= reached

    async def close(self, upstream: Upstream) -> None:
        """Close the upstream. Raises AssertionError if it does not, or leaves tasks behind."""
        try:
            async with asyncio.timeout(self.patience):
                with self.inside():
                    await upstream.close()
        except TimeoutError:
            raise AssertionError(f"close() did not return in {self.patience:g} s") from None
        if left := self.alive():
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=self.patience)
            names = ", ".join(sorted(task.get_name() for task in left))
            raise AssertionError(f"after close(), tasks still run: {names}")

    def faults(self) -> list[str]:
        """The rules that were broken in calls of all sinks."""
        return [fault for sink in self._sinks for fault in sink.faults]


def open_sockets() -> set[str]:
    """This process's sockets, where the system tells them (Linux)."""
    names = set()
    with contextlib.suppress(OSError):
        for each in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                names.add(str(each.readlink()))
    return {name for name in names if name.startswith("socket:")}
