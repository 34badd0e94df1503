"""The exceptions that qcfeed raises on purpose, and the exit statuses of the command line.

Messages are for the person on call: ``message`` says what happened and why, ``hint`` what to type or
change next. ``code`` is stable and for programs; ``exit_status`` is the exit status of the command.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import ClassVar

from qcfeed.closest import closest


class ExitStatus(IntEnum):
    """The exit statuses. A number has the same meaning for every command."""

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
    """The base class of all errors of qcfeed; never raised itself."""

    code: ClassVar[str] = "error"
    exit_status: ClassVar[ExitStatus] = ExitStatus.BUG

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(QcfeedError):
    """The command line or a request is invalid; nothing was done."""

    code = "usage"
    exit_status = ExitStatus.USAGE


class ConfigError(UsageError):
    """The value of an option, a key of the configuration file or an upstream URL is invalid."""

    code = "config"


class InvalidSymbolError(UsageError):
    """A symbol is malformed: it must match ``[A-Z0-9][A-Z0-9.\\-]{0,15}`` and not contain ``..``."""

    code = "invalid_symbol"


class UnknownSymbolError(UsageError):
    """A symbol is well-formed, but the upstream does not provide it."""

    code = "unknown_symbol"


class NotFoundError(UsageError):
    """The named feed, instance, task, path or other thing does not exist."""

    code = "not_found"


NAMED = 5
"""The number of missing things that an error names; the rest is counted."""


def not_found(
    what: str, *names: object, where: str = "", hint: str, known: Iterable[str] = ()
) -> NotFoundError:
    """The error for things that were named and do not exist, worded alike for all of them.

    ``what``: the kind of thing, for example ``live task``. ``hint`` says what lists those that exist;
    ``known``: their names, of which the closest is suggested.
    """
    candidates = list(known)
    if close := [each for name in names for each in closest(str(name).strip("'"), candidates)]:
        hint = f"did you mean {close[0]}? {hint}"
    listed = ", ".join(map(str, names[:NAMED]))
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return NotFoundError(f"there is no {what} {listed}{more}{where}", hint=hint)


class NoRunningLoopError(UsageError, RuntimeError):
    """A function that needs a running event loop was called without one."""

    code = "no_running_loop"


class AlreadyAttachedError(UsageError):
    """The program has qcfeed in it already."""

    code = "already_attached"


class IncompatibleError(UsageError):
    """The program has another version of qcfeed, or of a package that qcfeed needs."""

    code = "incompatible"


class UnsupportedInterpreterError(UsageError, RuntimeError):
    """The ledger does not support this Python: it is free-threaded, or not CPython."""

    code = "unsupported_interpreter"


class UnreachableError(QcfeedError):
    """The service, its control plane or Prometheus does not answer."""

    code = "unreachable"
    exit_status = ExitStatus.UNREACHABLE


class PrometheusError(UnreachableError):
    """Prometheus does not answer, refuses access, is not Prometheus, or lacks the metrics."""

    code = "prometheus"


class AmbiguousInstanceError(UsageError):
    """Several instances are running and the command does not name one."""

    code = "ambiguous_instance"


class NotAllowedError(QcfeedError):
    """The operating system or the control plane denied access."""

    code = "not_allowed"
    exit_status = ExitStatus.NOT_ALLOWED


class TimedOutError(QcfeedError):
    """There was no answer within the timeout; a requested action may still complete."""

    code = "timed_out"
    exit_status = ExitStatus.TIMED_OUT


class NeedsConfirmationError(QcfeedError):
    """The action affects other people and was not confirmed: no ``--yes``, and no answer of yes."""

    code = "needs_confirmation"
    exit_status = ExitStatus.REFUSED


class StartError(QcfeedError):
    """The service could not start: a port is in use, or a socket cannot be created."""

    code = "start"
    exit_status = ExitStatus.UNREACHABLE


class InstanceTakenError(StartError):
    """An instance of this name is already running."""

    code = "instance_taken"


class MonitorUnavailableError(StartError):
    """aiomonitor cannot be imported on this Python; ``qcfeed serve`` runs without it."""

    code = "monitor_unavailable"


class UpstreamError(QcfeedError):
    """The upstream of a feed ended or failed; while it has subscribers, the feed retries with backoff."""

    code = "upstream"
    exit_status = ExitStatus.UNREACHABLE
