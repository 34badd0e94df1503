"""Checks: what they are given, how they fail or are skipped, and running them in order."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from qcfeed.config import Config, PrometheusConfig, loading
from qcfeed.control import paths
from qcfeed.control.client import ControlClient
from qcfeed.control.routes import PROCESS, STATUS
from qcfeed.errors import NotFoundError, QcfeedError
from qcfeed.model.status import ProgramStatus, ServiceStatus

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


class CheckFailedError(QcfeedError):
    """A check found a problem; the hint says what to type next."""

    code = "check_failed"


class Skip(Exception):  # noqa: N818 - not an error
    """A check cannot be made: the reason, and the command that would make it possible."""

    def __init__(self, reason: str, next_command: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.next = next_command


class CheckResult(NamedTuple):
    """The result of one check. ``detail`` is what it found, or why it was skipped; ``next`` is what
    to type."""

    check: str
    outcome: str
    detail: str
    next: str = ""


@dataclass
class Case:
    """What the checks are given: the service, the configuration and Prometheus.

    ``address`` finds the service's control plane, or raises what paths.resolve does.
    ``command`` is qcfeed with the options that name this service: ``qcfeed --context prod``.
    ``timeout`` is in seconds, per request.
    """

    address: Callable[[], paths.ControlAddress] = lambda: paths.resolve(None, None, None)
    file: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    timeout: float = 5.0
    command: str = "qcfeed"
    prometheus: Callable[[], PrometheusConfig] = PrometheusConfig
    prometheus_answers: bool = True
    """False once it has not answered: each further request would wait for the timeout again."""

    @functools.cached_property
    def config(self) -> Config:
        """The configuration that a service would start with here. Raises Skip if it is invalid."""
        try:
            return loading.load({}, environment=self.environment, file=self.file).config
        except QcfeedError as error:
            raise Skip("the configuration is invalid", "`qcfeed config check`") from error

    @property
    def service(self) -> ServiceStatus:
        """The status of the service. Raises Skip if none answers or it is an attached program."""
        answer = self.service_or_program
        if not isinstance(answer, ServiceStatus):
            raise Skip(f"{answer.instance} is an attached program, which serves no feeds")
        return answer

    @property
    def service_or_program(self) -> ServiceStatus | ProgramStatus:
        """The status of the service or attached program. Raises Skip if none answers."""
        try:
            return self.answer
        except QcfeedError as error:
            raise Skip("no service answers", error.hint or "") from error

    @functools.cached_property
    def answer(self) -> ServiceStatus | ProgramStatus:
        """The same, requested once. Raises what ControlClient and ``address`` do."""
        client = ControlClient(self.address(), timeout=self.timeout)
        try:
            return client.get(STATUS, ServiceStatus)
        except NotFoundError:
            return client.get(PROCESS, ProgramStatus)


Check = Callable[[Case], str]


def run_checks(checks: Iterable[tuple[str, Check]], case: Case) -> Iterable[CheckResult]:
    """Run the checks in order and yield each result."""
    for name, check in checks:
        try:
            yield CheckResult(name, PASSED, check(case))
        except Skip as skip:
            yield CheckResult(name, SKIPPED, skip.reason, skip.next)
        except QcfeedError as error:
            yield CheckResult(name, FAILED, error.message, error.hint or "")
        except OSError as error:  # a file or directory that this user may not even look at
            yield CheckResult(name, FAILED, f"{error.filename or 'a file'}: {error.strerror}")
