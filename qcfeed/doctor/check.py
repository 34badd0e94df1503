"""What a check is, what came of it, and how a round of them is made."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from qcfeed import config
from qcfeed.config import Config, PrometheusConfig
from qcfeed.control import paths
from qcfeed.control.client import ControlClient
from qcfeed.control.routes import PROCESS, STATUS
from qcfeed.errors import NotFoundError, QcfeedError
from qcfeed.model.answers import Process, Status

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


class FaultError(QcfeedError):
    """Something is not as it should be; the hint is what to type next."""

    code = "fault"


class Skip(Exception):  # noqa: N818 - it is no error
    """It cannot be looked at: why, and what would make it possible."""

    def __init__(self, why: str, next_command: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.next = next_command


class Result(NamedTuple):
    """What came of one check. ``detail`` is what was found or why not; ``next`` is what to type."""

    check: str
    outcome: str
    detail: str
    next: str = ""


@dataclass
class Case:
    """Which service is looked at, from where, and what is known of it so far.

    ``address`` finds the service's control plane, or raises what paths.resolve does.
    ``called`` is the program as it is called for this service: ``qcfeed --context prod``.
    """

    address: Callable[[], paths.Address] = lambda: paths.resolve(None, None, None)
    file: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    timeout: float = 5.0
    called: str = "qcfeed"
    prometheus: Callable[[], PrometheusConfig] = PrometheusConfig
    prometheus_answers: bool = True
    """Until it has not: then it is not asked again."""

    @functools.cached_property
    def config(self) -> Config:
        """What a service would run with here. Raises Skip when it is not readable."""
        try:
            return config.load({}, environment=self.environment, file=self.file).config
        except QcfeedError as error:
            raise Skip("the configuration is not right", "`qcfeed config check`") from error

    @property
    def service(self) -> Status:
        """The feed service that is meant. Raises Skip when none answers or it is another program."""
        answer = self.program
        if not isinstance(answer, Status):
            raise Skip(f"{answer.instance} is a program with qcfeed.attach, and serves no feeds")
        return answer

    @property
    def program(self) -> Status | Process:
        """The service or attached program that is meant. Raises Skip when none answers."""
        try:
            return self.asked
        except QcfeedError as error:
            raise Skip("no service answers", error.hint or "") from error

    @functools.cached_property
    def asked(self) -> Status | Process:
        """The same. Raises what ControlClient does, and whatever ``address`` does."""
        client = ControlClient(self.address(), timeout=self.timeout)
        try:
            return client.get(STATUS, Status)
        except NotFoundError:
            return client.get(PROCESS, Process)


Check = Callable[[Case], str]


def examine(checks: Iterable[tuple[str, Check]], case: Case) -> Iterable[Result]:
    """The results, as they come."""
    for name, check in checks:
        try:
            yield Result(name, PASSED, check(case))
        except Skip as skip:
            yield Result(name, SKIPPED, skip.why, skip.next)
        except QcfeedError as error:
            yield Result(name, FAILED, error.message, error.hint or "")
