"""The requests that the control plane accepts, as data: a route is a path, a query type and a handler.

A *read* runs in the control plane's own threads, so it is answered while the watched loop is stuck: its
handler reads only what any thread may read. An *action* runs in the watched loop, is audited, and is
refused if the loop does not run in time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from qcfeed.model.answer import Answer

Query = TypeVar("Query", bound=msgspec.Struct)


class NoQuery(msgspec.Struct, forbid_unknown_fields=True):
    """A request without parameters."""


class ReadRoute(NamedTuple, Generic[Query]):
    """``GET path`` with parameters in the query string.

    ``redacted``: secrets are removed from every answer; from other reads only with ``redacted=1`` (redact.py).
    """

    path: str
    query: type[Query]
    handle: Callable[[Query], Answer]
    redacted: bool = False


class ActionRoute(NamedTuple, Generic[Query]):
    """``POST path``, parameters as a JSON body. ``word`` names it in the audit log."""

    path: str
    word: str
    query: type[Query]
    handle: Callable[[Query], Awaitable[Answer]]


Route = ReadRoute[Any] | ActionRoute[Any]

REDACTED = "redacted"
"""A parameter that every read accepts."""

STATUS = "/v1/status"
PROCESS = "/v1/process"
TASKS = "/v1/tasks"
TASKS_BY_LOCATION = "/v1/tasks/by-location"
TASKS_BY_LABEL = "/v1/tasks/by-label"
TASKS_BY_OBJECT = "/v1/tasks/by-object"
TASKS_SHOW = "/v1/tasks/show"
TASKS_TREE = "/v1/tasks/tree"
TASKS_CANCEL_PLAN = "/v1/tasks/cancel-plan"
TASKS_CANCEL = "/v1/tasks/cancel"
TASKS_FINDINGS = "/v1/tasks/findings"
TASKS_SNAPSHOT = "/v1/tasks/snapshot"
TASKS_PROFILE = "/v1/tasks/profile"
TASKS_ENDED = "/v1/tasks/ended"
TASKS_FAILURES = "/v1/tasks/failures"
STACKS = "/v1/stacks"
MEMORY = "/v1/memory"
MEMORY_TRACE = "/v1/memory/trace"
HISTORY = "/v1/history"
ORPHANS = "/v1/orphans"
REAP = "/v1/orphans/reap"
FEEDS = "/v1/feeds"
SYMBOLS = "/v1/symbols"
FEEDS_CANCEL = "/v1/feeds/cancel"
SUBSCRIBERS = "/v1/subscribers"
SUBSCRIBERS_KICK = "/v1/subscribers/kick"
CLUSTER_VIEW = "/v1/cluster/view"
CLUSTER_REAP = "/v1/cluster/reap"
WORKERS = "/v1/workers"
WORKERS_RESTART = "/v1/workers/restart"
DRILLS = "/v1/drills"
DRILLS_START = "/v1/drills/start"
DRILLS_STOP = "/v1/drills/stop"
LOG = "/v1/log"
AUDIT = "/v1/audit"
CONFIG = "/v1/config"
METRICS = "/v1/metrics"
