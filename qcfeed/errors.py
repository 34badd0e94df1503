"""Everything that qcfeed raises on purpose, and what the shell is told about it.

An error is written for the person who reads it at night: ``message`` says what happened and why,
``hint`` says what to type or change next. ``code`` is stable and machine-readable; ``exit_status``
is what the command line leaves with.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitStatus(IntEnum):
    """What the process leaves with; one meaning a number, for every command."""

    OK = 0
    FINDINGS = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_ALLOWED = 4
    TIMED_OUT = 5
    REFUSED = 6
    BUG = 70
    INTERRUPTED = 130


class QcfeedError(Exception):
    """The root of the tree; never raised itself."""

    code: ClassVar[str] = "error"
    exit_status: ClassVar[ExitStatus] = ExitStatus.BUG

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(QcfeedError):
    """The command line or a request cannot mean anything; nothing was started."""

    code = "usage"
    exit_status = ExitStatus.USAGE


class ConfigError(UsageError):
    """An option's value, a configuration file's key or an upstream URL is not acceptable."""

    code = "config"


class InvalidSymbolError(UsageError):
    """A symbol that is not spelled as one (DESIGN: ``[A-Z0-9][A-Z0-9.\\-]{0,15}``, no ``..``)."""

    code = "invalid_symbol"


class UnknownSymbolError(UsageError):
    """A well-formed symbol that the upstream does not carry."""

    code = "unknown_symbol"


class NotFoundError(UsageError):
    """What was named (a feed, an instance, a path) does not exist."""

    code = "not_found"


class NoRunningLoopError(UsageError, RuntimeError):
    """Something for a running event loop was called where none runs."""

    code = "no_running_loop"


class UnsupportedInterpreterError(UsageError, RuntimeError):
    """This Python is one on which the ledger could be wrong: free-threaded, or not CPython."""

    code = "unsupported_interpreter"


class UnreachableError(QcfeedError):
    """The service, its control plane or Prometheus does not answer."""

    code = "unreachable"
    exit_status = ExitStatus.UNREACHABLE


class PrometheusError(UnreachableError):
    """Prometheus does not answer, does not let us in, is something else, or lacks what was asked."""

    code = "prometheus"


class AmbiguousInstanceError(UsageError):
    """Several instances run here and the command did not say which."""

    code = "ambiguous_instance"


class NotAllowedError(QcfeedError):
    """The operating system or the control plane's authentication said no."""

    code = "not_allowed"
    exit_status = ExitStatus.NOT_ALLOWED


class TimedOutError(QcfeedError):
    """No answer within the time given; what was asked for may still happen."""

    code = "timed_out"
    exit_status = ExitStatus.TIMED_OUT


class NeedsConfirmationError(QcfeedError):
    """An action that others would feel, without a terminal to ask and without ``--yes``."""

    code = "needs_confirmation"
    exit_status = ExitStatus.REFUSED


class StartError(QcfeedError):
    """The service could not start (a port is taken, a socket cannot be made)."""

    code = "start"
    exit_status = ExitStatus.UNREACHABLE


class InstanceTakenError(StartError):
    """An instance of this name runs already."""

    code = "instance_taken"


class MonitorUnavailableError(StartError):
    """aiomonitor cannot be imported on this Python; ``qcfeed serve`` runs without its views."""

    code = "monitor_unavailable"


class UpstreamError(QcfeedError):
    """A feed's upstream ended or failed; the feed backs off and tries again under demand."""

    code = "upstream"
    exit_status = ExitStatus.UNREACHABLE
