"""What every command needs: its Typer application, the global options, requests to the service."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import typer

from qcfeed.cli import target
from qcfeed.formats import printable_lines
from qcfeed.streams import write_message

if TYPE_CHECKING:
    import msgspec

    from qcfeed.config.contexts import Context
    from qcfeed.control.client import ControlClient
    from qcfeed.model.answer import Answer

AnyAnswer = TypeVar("AnyAnswer", bound="Answer")

DEFAULT_TIMEOUT = 5.0
"""Seconds to wait for an answer: on-call needs to know soon that there is none."""

ACTION_GRACE = 4.0
"""Seconds to wait beyond an action's own timeout: a slow loop starts it late and answers late."""


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
        help="table, wide (every column), json (versioned), csv, or name (one per line).",
    ),
]


class TaskFormat(StrEnum):
    """How tasks are printed: a Format, or one of PROFILES."""

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
        help="table, wide (every column), json (versioned), csv, name (one per line);"
        " speedscope or collapsed: task stacks for a flame graph.",
    ),
]

PROFILES = (TaskFormat.SPEEDSCOPE, TaskFormat.COLLAPSED)
"""Formats for flame graphs."""


class Options(NamedTuple):
    """The global options, given before the command. ``timeout`` is in seconds.

    ``current_context``: the context of the configuration file, if no option names a service.

    ``token_file`` and ``context_settings`` are set only on the result of ``resolved()``.
    """

    instance: str | None = None
    socket: Path | None = None
    url: str | None = None
    timeout: float = DEFAULT_TIMEOUT
    config: Path | None = None
    context: str | None = None
    current_context: str | None = None
    cluster: bool = False
    no_pager: bool = False
    verbose: bool = False
    token_file: Path | None = None
    context_settings: Context | None = None

    @property
    def name_a_service(self) -> bool:
        """Whether any of them names a service."""
        named = (self.instance, self.socket, self.url, self.context, self.current_context)
        return any(named)

    def resolved(self) -> Options:
        """These options with the settings of the context filled in, if one is named.

        Raises what contexts.find does, and UsageError if the service is also named another way.
        """
        name = self.context or self.current_context
        if name is None:
            return self
        from qcfeed.config import contexts
        from qcfeed.config.credentials import unsecret
        from qcfeed.errors import NotFoundError, UsageError

        if self.instance or self.socket or self.url:
            raise UsageError(
                "--context, --instance, --socket and --url each name a service",
                hint="give only one of them",
            )
        try:
            found = contexts.find(name, file=self.config)
        except NotFoundError as error:
            if self.context is None:
                error.hint = (
                    f"{error.hint}; `qcfeed config use-context` sets another, or --unset none"
                )
            raise
        if self.context is None and not target.current().announced:
            target.announce()
            say(f"context {name}: {unsecret(found.service)} (`qcfeed config use-context` set it)")
        return self._replace(
            instance=found.instance,
            socket=found.path("socket"),
            url=found.url,
            token_file=found.path("token_file"),
            context_settings=found,
        )


def new_app() -> typer.Typer:
    """A Typer application with plain help; main.py handles its errors."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def examples(*lines: str) -> str:
    """The examples at the end of a command's help; ``\\b`` stops click from rewrapping the lines."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def options(ctx: typer.Context) -> Options:
    """The global options."""
    return ctx.find_object(Options) or Options()


def client(ctx: typer.Context, *, longer: float = 0.0) -> ControlClient:
    """A client of the service that the options name; it waits ``longer`` seconds beyond --timeout.

    Raises what ``paths.resolve`` does (no service runs here, several do, or two are named) and what
    ``Options.resolved`` does.
    """
    from qcfeed.control import paths
    from qcfeed.control.client import ControlClient

    given = options(ctx).resolved()
    if given.cluster:
        from qcfeed.errors import UsageError

        raise UsageError(
            "this command is for one instance, not for --cluster",
            hint="name one with --instance; `qcfeed --cluster status` lists them",
        )
    address = paths.resolve(given.instance, given.socket, given.url, token_file=given.token_file)
    trace = _told_request if given.verbose else None
    return ControlClient(address, timeout=given.timeout + longer, trace=trace)


def _told_request(request: str, seconds: float) -> None:
    say(f"{request} took {seconds * 1_000:,.0f} ms", error=True)


def ask(
    ctx: typer.Context, path: str, kind: type[AnyAnswer], **params: Any
) -> tuple[AnyAnswer, bytes]:
    """Request ``path`` and return the answer, decoded and as JSON. Raises what ControlClient does."""
    control = client(ctx)
    raw = control.fetch(path, **params)
    return control.decode(raw, kind), raw


def act(
    ctx: typer.Context, path: str, body: msgspec.Struct, kind: type[AnyAnswer]
) -> tuple[AnyAnswer, bytes]:
    """Request an action and return the answer, decoded and as JSON. Raises what ControlClient does."""
    control = client(ctx, longer=ACTION_GRACE)
    raw = control.send(path, body)
    return control.decode(raw, kind), raw


def warn_incomplete(reasons: Sequence[str]) -> bool:
    """Print on stderr why an answer may not cover all tasks. True if there is such a reason."""
    for reason in reasons:
        say(f"INCOMPLETE: {reason}")
    if reasons:
        say("next: `qcfeed runbook QcfeedLedgerIncomplete`")
    return bool(reasons)


def say(text: str, *, error: bool = False) -> None:
    """Print a message on stderr: stdout is for results. What is not printable is escaped.

    With --quiet only if it is an ``error``.

    The commands in it are for the service that the command line names, or for the file that it reads;
    a message that suggests what a file cannot do is left out.
    """
    if target.current().quiet and not error:
        return
    if (named := target.in_text(text)) is not None:
        write_message(printable_lines(named) + "\n")
