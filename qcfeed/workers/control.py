"""The control plane of the group: lists the workers with their own status, and restarts them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

from qcfeed import __version__
from qcfeed.control import paths, routes
from qcfeed.control.client import ControlClient
from qcfeed.control.paths import ControlAddress
from qcfeed.errors import NotFoundError, QcfeedError, UsageError
from qcfeed.model.status import ServiceStatus
from qcfeed.model.workers import RestartedWorkers, RestartWorkersRequest, Worker, Workers
from qcfeed.workers.checks import TIMEOUT
from qcfeed.workers.plan import BROKER
from qcfeed.workers.supervised_process import RUNNING, SupervisedProcess
from qcfeed.workers.supervisor import Supervisor

_AT_ONCE = 16


class WorkersHandlers:
    """The handlers of one group."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def table(self) -> list[routes.Route]:
        return [
            routes.ReadRoute(routes.WORKERS, routes.NoQuery, self.workers),
            routes.ActionRoute(
                routes.WORKERS_RESTART, "workers restart", RestartWorkersRequest, self.restart
            ),
            routes.ReadRoute(routes.STATUS, routes.NoQuery, self._no_status),
        ]

    def workers(self, _: routes.NoQuery) -> Workers:
        """Cost: a request to each worker, at most 16 at once and 2 s each. From any thread."""
        supervisor = self._supervisor
        processes = list(supervisor.processes)
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="qcfeed-workers") as threads:
            rows = list(threads.map(_worker, processes))
        return Workers(
            version=__version__,
            state=supervisor.state,
            websocket=supervisor.websocket,
            upstream=supervisor.config.upstream,
            uptime_s=time.monotonic() - supervisor.started_at,
            workers=rows,
        )

    async def restart(self, request: RestartWorkersRequest) -> RestartedWorkers:
        """One after the other: while one drains, the others accept connections."""
        return RestartedWorkers(restarted=await self._supervisor.restart(request.names))

    def of_one_worker(self) -> UsageError:
        """The error for a request that only a worker can answer."""
        return UsageError(self._explanation(), hint=self._remedy())

    def _no_status(self, _: routes.NoQuery) -> NoReturn:
        # As an attached program: commands then ask for the workers, or for the process.
        raise NotFoundError(self._explanation(), hint=self._remedy())

    def _explanation(self) -> str:
        name = self._supervisor.name
        return f"{name} is the supervisor of several processes, which each answer for themselves"

    def _remedy(self) -> str:
        name = self._supervisor.name
        return f"`qcfeed --instance {name}-1 ...` names one; `qcfeed --cluster ...` asks all"


def _worker(process: SupervisedProcess) -> Worker:
    status, problem = None, process.problem
    if process.role != BROKER and process.state in (*RUNNING, "stopping"):
        try:
            address = ControlAddress(socket=paths.socket_path(process.name))
            status = ControlClient(address, timeout=TIMEOUT).get(routes.STATUS, ServiceStatus)
        except QcfeedError as error:
            problem = problem or error.message
    return Worker(
        name=process.name,
        role=process.role,
        state=process.state,
        process=process.pid,
        up_s=round(process.up_s, 3),
        restarts=process.restarts.count,
        restarts_by_reason=dict(process.restarts.by_reason),
        problem=problem,
        status=status,
    )
