"""How a command that fails ends: its message with a hint on stderr, and its exit status."""

from __future__ import annotations

import errno
import sys
import traceback

from typer._click.exceptions import ClickException, NoArgsIsHelpError

from qcfeed.cli import usage_errors
from qcfeed.cli.context import say
from qcfeed.cli.target import PROGRAM
from qcfeed.errors import ExitStatus, QcfeedError
from qcfeed.streams import discard

TRACEBACK_FRAMES = 8
_OUTPUT_ERRORS = (errno.EBADF, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def report(error: BaseException) -> int:
    """Say what went wrong, and return the exit status."""
    match error:
        case ClickException():
            return _report_usage(error)
        case QcfeedError():
            return _report(error)
        case KeyboardInterrupt():
            return ExitStatus.INTERRUPTED
        case BrokenPipeError():  # the reader of the output has what it wants: `qcfeed ... | head`
            discard(sys.stdout)
            return ExitStatus.OK
        case OSError() if _is_about_output(error):
            return _report_output(error)
        case _:
            return _report_bug(error)


def _report(error: QcfeedError) -> int:
    for line in getattr(error, "__notes__", ()):  # the stack of a stuck loop
        say(f"  {line.rstrip()}", error=True)
    _say_error(error.message, error.hint)
    return error.exit_status


def _report_usage(error: ClickException) -> int:
    if isinstance(error, NoArgsIsHelpError):
        say(error.format_message(), error=True)
        return ExitStatus.USAGE
    _say_error(usage_errors.message(error), usage_errors.hint(error))
    return ExitStatus.USAGE


def _is_about_output(error: OSError) -> bool:
    """Whether writing to stdout failed: errors about files name them, those about sockets have others."""
    return error.filename is None and error.errno in _OUTPUT_ERRORS


def _report_output(error: OSError) -> int:
    discard(sys.stdout)
    _say_error(
        f"cannot write the results to stdout: {error.strerror}",
        "is it closed, or the disk full? `qcfeed ... > FILE` writes them to a file",
    )
    return ExitStatus.USAGE


def _report_bug(error: BaseException) -> int:
    say("".join(traceback.format_exception(error, limit=-TRACEBACK_FRAMES)).rstrip(), error=True)
    _say_error(
        f"this is a bug in qcfeed: {type(error).__name__}: {error}",
        "report it with the lines above and the command you typed",
    )
    return ExitStatus.BUG


def _say_error(message: str, hint: str | None) -> None:
    say(f"{PROGRAM}: error: {message}", error=True)
    if hint:
        say(f"  hint: {hint}", error=True)  # left out if it suggests what the saved file cannot do
