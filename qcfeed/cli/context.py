"""What every command file starts from: its application, the options before it, a client."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import typer

if TYPE_CHECKING:
    import msgspec

    from qcfeed.contexts import Context
    from qcfeed.control.client import ControlClient
    from qcfeed.model.answers import Answer

AnyAnswer = TypeVar("AnyAnswer", bound="Answer")

DEFAULT_TIMEOUT = 5.0
"""Seconds to wait for an answer. On-call would rather know that there is none than wait longer."""

ACTION_GRACE = 4.0
"""Seconds beyond an action's own limit: for a slow loop to begin it, and to say how it ended."""


class Format(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    CSV = "csv"
    NAME = "name"


Output = Annotated[
    Format,
    typer.Option(
        "-o",
        "--output",
        metavar="FORMAT",
        help="table, wide (every column), json (versioned), csv, or name (one a line).",
    ),
]


class TaskFormat(StrEnum):
    """How tasks are printed: as every answer, or as one of PROFILES."""

    TABLE = Format.TABLE
    WIDE = Format.WIDE
    JSON = Format.JSON
    CSV = Format.CSV
    NAME = Format.NAME
    SPEEDSCOPE = "speedscope"
    COLLAPSED = "collapsed"


TaskOutput = Annotated[
    TaskFormat,
    typer.Option(
        "-o",
        "--output",
        metavar="FORMAT",
        help="table, wide (every column), json (versioned), csv, name (one a line);"
        " speedscope or collapsed: the tasks' stacks, for a flame graph.",
    ),
]

PROFILES = (TaskFormat.SPEEDSCOPE, TaskFormat.COLLAPSED)


class Options(NamedTuple):
    """The options before the command. ``timeout`` is in seconds.

    ``token_file`` and ``chosen``, the context itself, are there once ``found()`` was asked for.
    """

    instance: str | None = None
    socket: Path | None = None
    url: str | None = None
    timeout: float = DEFAULT_TIMEOUT
    config: Path | None = None
    context: str | None = None
    token_file: Path | None = None
    chosen: Context | None = None

    @property
    def named(self) -> bool:
        """Whether they say which service is meant."""
        return any((self.instance, self.socket, self.url, self.context))

    def found(self) -> Options:
        """These, with what the context says, if one was chosen.

        Raises what contexts.find does, and UsageError when the service is named otherwise too.
        """
        if self.context is None:
            return self
        from qcfeed import contexts
        from qcfeed.errors import UsageError

        if self.instance or self.socket or self.url:
            raise UsageError(
                "--context, --instance, --socket and --url each say which service is meant",
                hint="give one of them",
            )
        chosen = contexts.find(self.context, file=self.config)
        return self._replace(
            instance=chosen.instance,
            socket=chosen.path("socket"),
            url=chosen.url,
            token_file=chosen.path("token_file"),
            chosen=chosen,
        )


def new_app() -> typer.Typer:
    """A command file's application: plain help, and errors left to main.py."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def examples(*lines: str) -> str:
    """What a command's help ends with; ``\\b`` keeps the lines as they are."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def options(ctx: typer.Context) -> Options:
    """The options that were given before the command."""
    return ctx.find_object(Options) or Options()


def client(ctx: typer.Context, *, longer: float = 0.0) -> ControlClient:
    """A client of the service that is meant, which waits ``longer`` seconds beyond --timeout.

    Raises what ``paths.resolve`` does (none runs here, several do, or two were named) and what
    ``Options.found`` does.
    """
    from qcfeed.control import paths
    from qcfeed.control.client import ControlClient

    given = options(ctx).found()
    address = paths.resolve(given.instance, given.socket, given.url, token_file=given.token_file)
    return ControlClient(address, timeout=given.timeout + longer)


def ask(
    ctx: typer.Context, path: str, kind: type[AnyAnswer], **params: Any
) -> tuple[AnyAnswer, bytes]:
    """A read's answer, and its JSON as it came. Raises what ControlClient does."""
    asked = client(ctx)
    raw = asked.fetch(path, **params)
    return asked.decode(raw, kind), raw


def act(
    ctx: typer.Context, path: str, body: msgspec.Struct, kind: type[AnyAnswer]
) -> tuple[AnyAnswer, bytes]:
    """An action's answer, and its JSON as it came. Raises what ControlClient does."""
    asked = client(ctx, longer=ACTION_GRACE)
    raw = asked.send(path, body)
    return asked.decode(raw, kind), raw


def warn_incomplete(reasons: Sequence[str]) -> bool:
    """Say on stderr why an answer about tasks may leave some out, if it may; whether it may."""
    for reason in reasons:
        say(f"INCOMPLETE: {reason}")
    if reasons:
        say("next: `qcfeed runbook QcfeedLedgerIncomplete`")
    return bool(reasons)


def say(text: str) -> None:
    """Talk to the person: stderr, so that stdout stays data."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
