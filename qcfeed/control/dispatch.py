"""Answers a request: find the route, check the parameters, run the handler, fill in the common fields.

Of HTTP it knows only the method and the status. Every refusal is an ErrorAnswer.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from qcfeed import rfc3339
from qcfeed.control import redact
from qcfeed.control.actions import Actions
from qcfeed.control.audit import Caller
from qcfeed.control.routes import REDACTED, ActionRoute, ReadRoute, Route
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.errors import ExitStatus, NotFoundError, QcfeedError, TimedOutError, UsageError
from qcfeed.model.answer import Answer, ErrorAnswer
from qcfeed.model.json_errors import JSON_ERRORS
from qcfeed.net.descriptors import Reserve

logger = logging.getLogger(__name__)

READ_TIMEOUT = 10.0
"""Seconds that a read may take, including waiting. After that the caller gets an error; the thread continues.
"""

STUCK = 1.0
"""If the watched loop has not run for this many seconds, an answer includes its stack."""

_HTTP_STATUS = {
    ExitStatus.USAGE: 400,
    ExitStatus.NOT_ALLOWED: 403,
    ExitStatus.REFUSED: 409,
    ExitStatus.UNREACHABLE: 503,
    ExitStatus.TIMED_OUT: 504,
}

Reply = tuple[int, bytes]
"""HTTP status and JSON."""


class Dispatcher:
    """Answers the requests to one instance. Used in the server's loop, whose worker threads run the reads."""

    def __init__(
        self,
        routes: Sequence[Route],
        instance: str,
        watch: LoopWatch,
        actions: Actions,
        reserve: Reserve,
        absent: Callable[[], QcfeedError] | None = None,
    ) -> None:
        """``reserve``: descriptors to give up when an answer must read a file and none are left.

        ``absent``: the error for requests that this instance has no route for.
        """
        self._absent = absent
        self._reserve = reserve
        self._routes = {route.path: route for route in routes}
        self._instance = instance
        self._watch = watch
        self._actions = actions

    async def reply(
        self, method: str, path: str, params: Mapping[str, str], body: bytes, caller: Caller
    ) -> Reply:
        """Answer one request. Never raises: errors are in the reply."""
        try:
            route = self._route(method, path)
            if isinstance(route, ReadRoute):
                return 200, await self._read(route, params)
            return 200, await self._act(route, _request(route, body), caller)
        except Exception as error:  # noqa: BLE001 - the boundary: refused() logs what is a bug
            return refused(error)

    def _route(self, method: str, path: str) -> Route:
        route = self._routes.get(path)
        if route is None and self._absent is not None:
            raise self._absent()
        if route is None or _method(route) != method:
            known = ", ".join(f"{_method(known)} {known.path}" for known in self._routes.values())
            raise NotFoundError(f"there is no {method} {path[:200]}", hint=f"there is {known}")
        return route

    def read_here(self, path: str, params: Mapping[str, str]) -> bytes:
        """Answer a read in the calling thread, without secrets. Raises QcfeedError."""
        route = self._route("GET", path)
        assert isinstance(route, ReadRoute)  # noqa: S101 - it is GET
        return self._answer_read(route, _query(route, params), redacted=True)

    async def _read(self, route: ReadRoute[Any], params: Mapping[str, str]) -> bytes:
        asked = {name: value for name, value in params.items() if name != REDACTED}
        redacted = route.redacted or params.get(REDACTED) in ("1", "true", "True")
        work = asyncio.to_thread(self._answer_read, route, _query(route, asked), redacted)
        try:
            return await asyncio.wait_for(work, READ_TIMEOUT)
        except TimeoutError as error:
            raise TimedOutError(
                f"{route.path} took longer than {READ_TIMEOUT:g} s",
                hint="request less (limit), or try again later; a profiler shows what takes the time",
            ) from error

    def _answer_read(self, route: ReadRoute[Any], query: Any, redacted: bool) -> bytes:
        """Runs in a worker thread, including the encoding: a long answer must not delay other requests."""
        begun = time.perf_counter()
        with self._watch.measure() as measured:
            answer: Answer = self._reserve.attempt(lambda: route.handle(query))
        self._reserve.refill()
        raw = self._encode(answer, begun, measured.longest)
        return redact.answer(raw, redact.values(os.environ)) if redacted else raw

    async def _act(self, route: ActionRoute[Any], request: Any, caller: Caller) -> bytes:
        begun = time.perf_counter()
        with self._watch.measure() as measured:
            answer = await self._actions.carry_out(route, request, caller)
        return self._encode(answer, begun, measured.longest)

    def _encode(self, answer: Answer, begun: float, stall: float) -> bytes:
        stalled = self._watch.stalled_for(time.monotonic())
        if stalled >= STUCK:
            answer.loop_stack = self._watch.stack()
        answer.pid = os.getpid()
        answer.instance = self._instance
        answer.taken_at = rfc3339.now()
        answer.loop_stall_ms = round(max(stall, stalled) * 1000, 3)
        answer.elapsed_ms = round((time.perf_counter() - begun) * 1000, 3)
        return msgspec.json.encode(answer)


def refused(error: Exception) -> Reply:
    """Convert any exception to an ErrorAnswer. An exception that is not a QcfeedError is logged as a bug."""
    if isinstance(error, QcfeedError):
        status = (
            404 if isinstance(error, NotFoundError) else _HTTP_STATUS.get(error.exit_status, 500)
        )
        stack = list(getattr(error, "__notes__", ()))
        message = _printable(error.message)
        failure = ErrorAnswer(code=error.code, message=message, hint=error.hint, loop_stack=stack)
    else:
        logger.error("the control plane met a bug", exc_info=error)
        status = 500
        failure = ErrorAnswer(
            code="bug",
            message=_printable(f"the service met a bug: {type(error).__name__}: {error}"),
            hint="its log has the traceback; please report it",
        )
    return status, msgspec.json.encode(failure)


def _printable(text: str) -> str:
    """A message may quote the request, which may not be valid Unicode."""
    return text.encode("utf-8", "backslashreplace").decode()


def _method(route: Route) -> str:
    return "GET" if isinstance(route, ReadRoute) else "POST"


def _query(route: ReadRoute[Any], params: Mapping[str, str]) -> Any:
    try:
        return msgspec.convert(dict(params), route.query, strict=False)
    except JSON_ERRORS as error:
        raise _unusable(route, error) from error


def _request(route: ActionRoute[Any], body: bytes) -> Any:
    try:
        return msgspec.json.decode(body or b"{}", type=route.query)
    except JSON_ERRORS as error:
        raise _unusable(route, error) from error


def _unusable(route: Route, error: Exception) -> UsageError:
    fields = ", ".join(route.query.__struct_fields__) or "none"
    return UsageError(
        f"{route.path} invalid request: {error}", hint=f"its parameters are: {fields}"
    )
