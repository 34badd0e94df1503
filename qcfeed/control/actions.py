"""Runs actions in the watched loop on behalf of the control plane's thread.

Every action has exactly one outcome in the audit log: ``done`` or ``failed``; ``not_begun``, if the
watched loop did not run in time (the action then never begins); ``timed_out`` or ``cancelled`` (the
service is stopping), if the action was cancelled; ``unknown``, if it had still not ended when the
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
from qcfeed.control.routes import ActionRoute
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.errors import QcfeedError, TimedOutError, UnreachableError
from qcfeed.model.answer import Answer

LONGEST = 600.0
"""The longest ``timeout_s`` that an action may request, in seconds."""

CANCEL_GRACE = 1.0
"""Seconds that a cancelled action has to end before its caller gets an answer."""

Ended = asyncio.Future[Answer | BaseException]
Outcome = tuple[str, Answer | Exception]
"""The outcome for the audit log, and the answer or error for the caller."""

Handler = Callable[[Any], Awaitable[Answer]]


@dataclass(slots=True)
class Call:
    """One run of an action's handler. ``outcome``: its answer, or the error that ended it.

    The future also decides who owns the action: ``cancel`` and ``set_running_or_notify_cancel`` exclude each
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
        """Runs in the watched loop."""
        if self.outcome.set_running_or_notify_cancel():
            self.task = loop.create_task(self._run(), name="qcfeed control action")

    def cancel(self) -> None:
        """Runs in the watched loop."""
        if self.task is not None:
            self.task.cancel()

    async def _run(self) -> None:
        audit.collect_notes(self.notes)
        try:
            self.outcome.set_result(await self.handle(self.query))
        except BaseException as error:
            self.outcome.set_result(error)
            if not isinstance(error, Exception):
                # A cancelled task must end as cancelled.
                raise


class _ClosingError(Exception):
    """The server is stopping while an action runs."""


class Actions:
    """Runs actions in ``loop``, the watched loop. Used in the server's own loop.

    ``grace``: seconds that the watched loop has to start an action, and that an action has beyond the
    ``timeout_s`` it requested.
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
        # In a thread of its own: a stuck disk must not occupy the threads that answer reads.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="qcfeed-audit")

    async def carry_out(self, action: ActionRoute[Any], query: Any, caller: Caller) -> Answer:
        """Run the action and return the handler's answer, or raise its error.

        Raises TimedOutError, with the watched loop's stack as notes if it is stuck; and NotAllowedError if the
        audit log cannot be written, in which case nothing was done.
        """
        if self._closing.done():
            raise UnreachableError(f"{action.word} was not started: the service is stopping")
        limit = min(max(getattr(query, "timeout_s", 0.0), 0.0), LONGEST)
        task = asyncio.create_task(self._audited(action, query, caller, limit), name=action.word)
        self._running.add(task)
        task.add_done_callback(self._forget)
        # ``wait`` does not cancel the task when its caller leaves: an action is always audited to
        # its end.
        await asyncio.wait({task}, timeout=self._grace + limit + CANCEL_GRACE)
        if task.done():
            return task.result()
        raise TimedOutError(
            f"{action.word} was cancelled after {self._grace + limit:g} s and has not ended yet",
            hint=f"its outcome will be in the audit log {self._log.path}",
        )

    def _forget(self, task: asyncio.Task[Answer]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # mark it as retrieved: the audit log has it, whether or not the caller still waits

    async def close(self) -> None:
        """Cancel the actions that still run, and record their outcomes as far as they are known.

        Takes at most CANCEL_GRACE seconds, plus the time that the audit log's disk needs.
        """
        self._closing.set_result(None)
        await asyncio.gather(*self._running, return_exceptions=True)
        self._writer.shutdown()

    async def _audited(
        self, action: ActionRoute[Any], query: Any, caller: Caller, limit: float
    ) -> Answer:
        # On the disk before anything is done: what cannot be recorded does not happen.
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
        await self._write(self._log.conclude, entry, word, error=_reason(result))
        raise result

    async def _settle(self, call: Call, ended: Ended, word: str, limit: float) -> Outcome:
        try:
            self._loop.call_soon_threadsafe(call.begin, self._loop)
        except RuntimeError:
            return "not_begun", UnreachableError(f"{word} was not begun: the service has stopped")
        # ``cancel`` fails if the action has begun at this moment; then it is waited for.
        if not await self._within(ended, self._grace) and call.outcome.cancel():
            return "not_begun", self._stuck(word)
        if await self._within(ended, limit):
            return _outcome(ended.result(), word)
        self._cancel(call)
        # Without a limit: ``carry_out`` answers the caller in time, and the audit log gets the
        # outcome.
        await self._within(ended, None)
        result = ended.result()
        if isinstance(result, Answer):
            return "done", result
        return "timed_out", TimedOutError(
            f"{word} had not ended after {self._grace + limit:g} s and was cancelled",
            hint="see what it did so far: `qcfeed status`",
        )

    async def _within(self, ended: Ended, seconds: float | None) -> bool:
        """Whether it ended within this time. Raises _ClosingError if the server stops first."""
        either: set[asyncio.Future[Any]] = {ended, self._closing}
        await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if self._closing.done() and not ended.done():
            raise _ClosingError
        return ended.done()

    async def _give_up(self, call: Call, ended: Ended, word: str) -> Outcome:
        """The server is stopping: end the action too."""
        if call.outcome.cancel():
            return "not_begun", UnreachableError(f"{word} was not started: the service is stopping")
        self._cancel(call)
        await asyncio.wait({ended}, timeout=CANCEL_GRACE)
        if ended.done():
            return _outcome(ended.result(), word)
        return "unknown", UnreachableError(f"the service stopped before {word} ended")

    def _cancel(self, call: Call) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, so nothing runs in it
            self._loop.call_soon_threadsafe(call.cancel)

    def _stuck(self, word: str) -> TimedOutError:
        stalled = self._watch.stalled_for(time.monotonic())
        error = TimedOutError(
            f"{word} was not begun: the service's loop has been stuck for {stalled:.1f} s",
            hint="nothing was done; the stack shows where the loop is stuck",
        )
        for line in self._watch.stack():
            error.add_note(line)
        return error

    async def _write(self, function: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writer, partial(function, *args, **kw))


def _facts(answer: Answer) -> dict[str, Any]:
    """The answer without the fields that the server fills in."""
    whole: dict[str, Any] = msgspec.to_builtins(answer)
    return {key: value for key, value in whole.items() if key not in Answer.__struct_fields__}


def _reason(error: BaseException) -> str:
    """Why an action failed, for the audit log; the type is named if the error is not one of qcfeed's."""
    text = str(error)
    if isinstance(error, QcfeedError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _outcome(result: Answer | BaseException, word: str) -> Outcome:
    if isinstance(result, Answer):
        return "done", result
    if isinstance(result, Exception):
        return "failed", result
    return "cancelled", UnreachableError(f"{word} was cancelled: the service stops")
