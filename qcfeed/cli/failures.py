"""How a command that fails ends: its message with a hint on stderr, as text or JSON, and its exit status."""

from __future__ import annotations

import errno
import re
import sys
import traceback
from collections.abc import Sequence
from typing import NamedTuple

from typer._click.exceptions import ClickException, NoArgsIsHelpError

from qcfeed.cli import target, usage_errors
from qcfeed.cli.context import Format, say
from qcfeed.cli.target import PROGRAM
from qcfeed.errors import ExitStatus, QcfeedError, UsageError
from qcfeed.formats import printable_json
from qcfeed.streams import discard, write_message

TRACEBACK_FRAMES = 8
_OUTPUT_ERRORS = (errno.EBADF, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_OUTPUT_OPTION = re.compile(r"(?:--output(?:=|$)|-[a-zA-Z]*?o=?)(?P<value>.*)")


class Failure(NamedTuple):
    """Why a command failed. ``loop_stack``: where the service's loop is stuck; ``traceback``: of a bug."""

    code: str
    message: str
    hint: str | None
    exit_status: ExitStatus
    loop_stack: Sequence[str] = ()
    traceback: str = ""


def report(error: BaseException, args: Sequence[str] = ()) -> int:
    """Print what went wrong, and return the exit status. ``args``: the command line, which may ask for JSON."""
    match error:
        case NoArgsIsHelpError():
            say(error.format_message(), error=True)
            return ExitStatus.USAGE
        case KeyboardInterrupt():
            return ExitStatus.INTERRUPTED
        case BrokenPipeError():  # the reader of the output has what it wants: `qcfeed ... | head`
            discard(sys.stdout)
            return ExitStatus.OK
        case _:
            failure = _failure(error)
    if wants_json(args):
        _print_json(failure)
    else:
        _print_text(failure)
    return failure.exit_status


def wants_json(args: Sequence[str]) -> bool:
    """Whether the command line has ``-o json``, in any form; also if it is wrong otherwise."""
    options = list(args[: args.index("--")] if "--" in args else args)
    for word, following in zip(options, [*options[1:], ""], strict=True):
        found = _OUTPUT_OPTION.fullmatch(word)
        if found and (found["value"] or following) == Format.JSON:
            return True
    return False


def _failure(error: BaseException) -> Failure:
    match error:
        case ClickException():
            message, hint = usage_errors.message(error), usage_errors.hint(error)
            return Failure(UsageError.code, message, hint, ExitStatus.USAGE)
        case QcfeedError():
            stack = [line.rstrip() for line in getattr(error, "__notes__", ())]
            return Failure(error.code, error.message, error.hint, error.exit_status, stack)
        case OSError() if _is_about_output(error):
            discard(sys.stdout)
            return Failure(
                "output",
                f"cannot write the results to stdout: {error.strerror}",
                "is it closed, or the disk full? `qcfeed ... > FILE` writes them to a file",
                ExitStatus.USAGE,
            )
        case _:
            text = "".join(traceback.format_exception(error, limit=-TRACEBACK_FRAMES))
            return Failure(
                "bug",
                f"this is a bug in qcfeed: {type(error).__name__}: {error}",
                "report it with the traceback and the command you typed",
                ExitStatus.BUG,
                traceback=text.rstrip(),
            )


def _is_about_output(error: OSError) -> bool:
    """Whether writing to stdout failed: errors about files name them, those about sockets have others."""
    return error.filename is None and error.errno in _OUTPUT_ERRORS


def _print_text(failure: Failure) -> None:
    if failure.traceback:
        say(failure.traceback, error=True)
    for line in failure.loop_stack:
        say(f"  {line}", error=True)
    say(f"{PROGRAM}: error: {failure.message}", error=True)
    if failure.hint:
        say(
            f"  hint: {failure.hint}", error=True
        )  # left out if it suggests what a saved file cannot do


def _print_json(failure: Failure) -> None:
    """One line, so that it can be told from the messages before it."""
    import msgspec  # imported here: most failures are printed as text

    from qcfeed.model.answer import ErrorAnswer

    answer = ErrorAnswer(
        code=failure.code,
        message=_encodable(target.in_text(failure.message) or failure.message),
        hint=_encodable(target.in_text(failure.hint or "") or "") or None,
        exit_status=failure.exit_status,
        loop_stack=[_encodable(line) for line in failure.loop_stack],
        traceback=_encodable(failure.traceback) or msgspec.UNSET,
    )
    raw = msgspec.json.encode(answer)
    write_message(printable_json(raw) + "\n", whole=True)


def _encodable(text: str) -> str:
    """``text`` with the bytes of a command line that are not UTF-8 escaped."""
    return text.encode(errors="backslashreplace").decode()
