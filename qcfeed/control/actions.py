"""Carrying out an action in the watched loop from outside of it, and never losing sight of it.

Each action ends in exactly one audited outcome: ``done`` or ``failed``; ``not_begun``, when the
watched loop did not turn in time, and then it never begins; ``timed_out`` or, because the service
stops, ``cancelled``, when it was cancelled; ``unknown``, when it had not ended even so when the
server stopped.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from qcfeed.control import audit
from qcfeed.control.audit import AuditLog, Caller
from qcfeed.control.routes import Action
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.errors import TimedOutError, UnreachableError
from qcfeed.model.answers import Answer

LONGEST = 600.0
"""Seconds that an action may ask for by its ``timeout_s``."""

CANCEL_GRACE = 1.0
"""Seconds that an action gets to end after it was cancelled, before its caller is told."""

Ended = asyncio.Future[Answer | BaseException]
Outcome = tuple[str, Answer | Exception]
"""The audit log's word for it, and what the caller gets."""

Handler = Callable[[Any], Awaitable[Answer]]


@dataclass(slots=True)
class Call:
    """One handler's run. ``outcome`` is an answer or the error it ended with.

    The future is the claim as well: ``cancel`` and ``set_running_or_notify_cancel`` exclude each
    other, so an action that was given up never begins.
    """

    handle: Handler
    query: Any
    notes: dict[str, Any]
    outcome: concurrent.futures.Future[Answer | BaseException] = field(
        default_factory=concurrent.futures.Future
    )
    task: asyncio.Task[None] | None = None

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """In the watched loop."""
        if self.outcome.set_running_or_notify_cancel():
            self.task = loop.create_task(self._run(), name="qcfeed control action")

    def cancel(self) -> None:
        """In the watched loop."""
        if self.task is not None:
            self.task.cancel()

    async def _run(self) -> None:
        audit.collect_notes(self.notes)
        try:
            self.outcome.set_result(await self.handle(self.query))
        except BaseException as error:
            self.outcome.set_result(error)
            if not isinstance(error, Exception):
                raise


class _ClosingError(Exception):
    """The server stops while an action runs."""


class Actions:
    """Runs actions in ``loop`` for a server that lives in another; at home in the server's loop.

    ``grace``: seconds that the watched loop gets to take an action up, and an action gets beyond
    the ``timeout_s`` it asked for.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, watch: LoopWatch, log: AuditLog, *, grace: float
    ) -> None:
        self._loop = loop
        self._watch = watch
        self._log = log
        self._grace = grace
        self._running: set[asyncio.Task[Answer]] = set()
        self._closing = asyncio.get_running_loop().create_future()
        # A thread of its own: a stuck disk must not take the threads that reads are answered in.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="qcfeed-audit")

    async def carry_out(self, action: Action[Any], query: Any, caller: Caller) -> Answer:
        """The handler's answer, or its error.

        Raises TimedOutError, with the watched loop's stack as notes when it is stuck, and
        NotAllowedError when the audit log cannot be written; nothing was done then.
        """
        if self._closing.done():
            raise UnreachableError(f"{action.word} was not begun: the service stops")
        limit = min(max(getattr(query, "timeout_s", 0.0), 0.0), LONGEST)
        task = asyncio.create_task(self._audited(action, query, caller, limit), name=action.word)
        self._running.add(task)
        task.add_done_callback(self._forget)
        await asyncio.wait({task}, timeout=self._grace + limit + CANCEL_GRACE)
        if task.done():
            return task.result()
        raise TimedOutError(
            f"{action.word} was cancelled after {self._grace + limit:g} s and has not ended yet",
            hint=f"what becomes of it will be in the audit log {self._log.path}",
        )

    def _forget(self, task: asyncio.Task[Answer]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # it is in the audit log, whether or not its caller still waits

    async def close(self) -> None:
        """Cancel what still runs, and write down what became of it as far as is known.

        Takes CANCEL_GRACE seconds at most, and as long as the audit log's disk does.
        """
        self._closing.set_result(None)
        await asyncio.gather(*self._running, return_exceptions=True)
        self._writer.shutdown()

    async def _audited(
        self, action: Action[Any], query: Any, caller: Caller, limit: float
    ) -> Answer:
        entry = await self._write(self._log.intend, action.word, caller, query)
        call = Call(action.handle, query, entry.notes)
        ended = asyncio.wrap_future(call.outcome)
        try:
            word, result = await self._settle(call, ended, action.word, limit)
        except _ClosingError:
            word, result = await self._give_up(call, ended, action.word)
        if isinstance(result, Answer):
            await self._write(self._log.conclude, entry, word, answer=_facts(result))
            return result
        await self._write(self._log.conclude, entry, word, error=f"{result!r}")
        raise result

    async def _settle(self, call: Call, ended: Ended, word: str, limit: float) -> Outcome:
        try:
            self._loop.call_soon_threadsafe(call.begin, self._loop)
        except RuntimeError:
            return "not_begun", UnreachableError(f"{word} was not begun: the service has stopped")
        if not await self._within(ended, self._grace) and call.outcome.cancel():
            return "not_begun", self._stuck(word)
        if await self._within(ended, limit):
            return _outcome(ended.result(), word)
        self._cancel(call)
        await self._within(ended, None)
        result = ended.result()
        if isinstance(result, Answer):
            return "done", result
        return "timed_out", TimedOutError(
            f"{word} had not ended after {self._grace + limit:g} s and was cancelled",
            hint="look what it left: `qcfeed status`",
        )

    async def _within(self, ended: Ended, seconds: float | None) -> bool:
        """Whether it ended in this time. Raises _ClosingError when the server stops first."""
        either: set[asyncio.Future[Any]] = {ended, self._closing}
        await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if self._closing.done() and not ended.done():
            raise _ClosingError
        return ended.done()

    async def _give_up(self, call: Call, ended: Ended, word: str) -> Outcome:
        """The server stops: end the action too."""
        if call.outcome.cancel():
            return "not_begun", UnreachableError(f"{word} was not begun: the service stops")
        self._cancel(call)
        await asyncio.wait({ended}, timeout=CANCEL_GRACE)
        if ended.done():
            return _outcome(ended.result(), word)
        return "unknown", UnreachableError(f"the service stopped before {word} ended")

    def _cancel(self, call: Call) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing runs in it
            self._loop.call_soon_threadsafe(call.cancel)

    def _stuck(self, word: str) -> TimedOutError:
        stalled = self._watch.stalled_for(time.monotonic())
        error = TimedOutError(
            f"{word} was not begun: the service's loop has been stuck for {stalled:.1f} s",
            hint="nothing was done; the stack says where it is stuck",
        )
        for line in self._watch.stack():
            error.add_note(line)
        return error

    async def _write(self, function: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writer, partial(function, *args, **kw))


def _facts(answer: Answer) -> dict[str, Any]:
    """The answer without its envelope, which the server has yet to fill in."""
    whole: dict[str, Any] = msgspec.to_builtins(answer)
    return {key: value for key, value in whole.items() if key not in Answer.__struct_fields__}


def _outcome(result: Answer | BaseException, word: str) -> Outcome:
    if isinstance(result, Answer):
        return "done", result
    if isinstance(result, Exception):
        return "failed", result
    return "cancelled", UnreachableError(f"{word} was cancelled: the service stops")
