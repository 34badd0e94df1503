"""``qcfeed subscribers``: who is connected and how far behind; ``subscribers kick``: end some."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from qcfeed.cli.context import Format, Output, act, ask, examples, new_app, options, say
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.confirm import confirm
from qcfeed.cli.ui.figures import Figure, show_figures
from qcfeed.cli.ui.render import draw, show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import SUBSCRIBERS, SUBSCRIBERS_KICK
from qcfeed.errors import ExitStatus, UsageError
from qcfeed.model.subscribers import Kicked, KickRequest, Subscriber, Subscribers

PREVIEW = 10
"""Connections that are shown before the question; more are counted."""

DEFAULT_LIMIT = 1_000
MOST = 100_000
"""Connections that one kick may end (server/subscriber_handlers.py)."""

FEW = 3
"""Symbols that are named in a table."""

app = new_app()

Slow = Annotated[
    bool,
    typer.Option("--slow", help="Only who is behind, or missed quotes within the last minute."),
]
HoldsSymbol = Annotated[
    str, typer.Option("--symbol", metavar="SYMBOL", help="Only who holds this symbol.")
]

SUBSCRIBER_TABLE: Table[Subscriber] = Table(
    (
        Column("id", right=True),
        Column("peer"),
        Column(
            "symbols",
            value=lambda s: " ".join([*s.symbols, *_further(s)]),
            show=lambda text: _shortened(text.split()),
            least=8,
        ),
        Column("policy", rank=1),
        Column("lag", show=formats.count, right=True, colour=lambda s: "red" if s.lag else None),
        Column("lag_bytes", header="UNSENT", show=formats.size, right=True),
        Column("kernel_bytes", header="KERNEL", show=formats.size, right=True),
        Column("age_s", header="AGE", show=formats.age, right=True),
        Column(
            "conflated",
            show=formats.count,
            right=True,
            colour=lambda s: "yellow" if s.conflated else None,
            rank=2,
        ),
        Column(
            "dropped",
            show=formats.count,
            right=True,
            colour=lambda s: "yellow" if s.dropped else None,
            rank=3,
        ),
        Column("held", show=formats.count, right=True, wide=True),
        Column("stalled_s", header="STALLED", show=formats.age, right=True, wide=True),
        Column("heard_s", header="HEARD", show=formats.age, right=True, wide=True),
        Column("compressed", wide=True),
    ),
    identity=lambda subscriber: str(subscriber.id),
)


def _further(subscriber: Subscriber) -> list[str]:
    """How many symbols it holds beside those that are named."""
    more = subscriber.held - len(subscriber.symbols)
    return [f"+{more}"] if more else []


def _shortened(words: list[str]) -> str:
    """At most three, then how many more."""
    if len(words) <= FEW:
        return " ".join(words)
    last = words[-1]
    more = len(words) - FEW + (int(last) - 1 if last.startswith("+") else 0)
    return " ".join([*words[:FEW], f"+{more:,}"])


@app.callback(
    invoke_without_command=True,
    subcommand_metavar="[COMMAND]",
    epilog=examples(
        "qcfeed subscribers",
        "qcfeed subscribers --slow",
        "qcfeed subscribers --symbol AAPL -o csv > aapl.csv",
        "qcfeed subscribers kick --slow",
    ),
)
def subscribers(
    ctx: typer.Context,
    slow: Slow = False,
    symbol: HoldsSymbol = "",
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="List at most N.")] = DEFAULT_LIMIT,
    output: Output = Format.TABLE,
) -> None:
    """List subscribers' connections, the furthest behind first, or end some.

    The policy is what becomes of one that reads too slowly. Lag counts the quotes it has not had yet;
    unsent is what the service keeps for it, kernel what the kernel does, until its peer takes it.
    """
    if ctx.invoked_subcommand is not None:
        return
    answer, raw = _ask(ctx, slow, symbol, limit=limit)
    if not answer.total and output in (Format.TABLE, Format.WIDE):
        say(_nobody(slow, symbol))
        return
    show(output, SUBSCRIBER_TABLE, answer.subscribers, raw=raw)
    if len(answer.subscribers) < answer.total:
        say(
            f"the {len(answer.subscribers):,} furthest behind of"
            f" {formats.plural(answer.total, 'subscriber')}: --limit N shows more"
        )


def _ask(
    ctx: typer.Context, slow: bool, symbol: str, *, limit: int, ids: Sequence[int] = ()
) -> tuple[Subscribers, bytes]:
    which = {"slow": "true" if slow else None, "symbol": symbol or None}
    numbers = ",".join(map(str, ids)) or None
    return ask(ctx, SUBSCRIBERS, Subscribers, limit=limit, ids=numbers, **which)


def _nobody(slow: bool, symbol: str) -> str:
    who = f"nobody who holds {symbol.upper()}" if symbol else "nobody"
    return f"no subscribers: {who} is {'slow' if slow else 'connected'}"


@app.command(
    epilog=examples(
        "qcfeed subscribers kick 48213            # asks first; a number is never used again",
        "qcfeed subscribers kick --slow --dry-run",
        "qcfeed subscribers kick --symbol AAPL --yes",
    )
)
def kick(
    ctx: typer.Context,
    ids: Annotated[
        list[int] | None, typer.Argument(min=1, metavar="ID...", help="Their numbers.")
    ] = None,
    slow: Slow = False,
    symbol: HoldsSymbol = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show whose connection would end.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """End connections; they are told so (close 4411) and may come back.

    Shows them and asks first; without a terminal to ask on, --yes is needed (exit 6). Exactly those
    that were shown are ended. Exit status: 1 when one is not gone within --timeout seconds.
    """
    if bool(ids) == (slow or bool(symbol)):
        raise UsageError(
            "say whose connections to end: their numbers, or --slow or --symbol, not both",
            hint="`qcfeed subscribers` lists them; for example `qcfeed subscribers kick --slow`",
        )
    answer, raw = _ask(ctx, slow, symbol, limit=MOST, ids=ids or ())
    chosen = answer.subscribers
    if not chosen:
        say("nobody of these is connected" if ids else _nobody(slow, symbol))
        return
    if dry_run:
        show(output, SUBSCRIBER_TABLE, chosen, raw=raw)
        say(f"{formats.plural(len(chosen), 'connection')} would be ended")
        return
    if not yes:
        _confirm(chosen)
    numbers = ids or [each.id for each in chosen]
    request = KickRequest(ids=numbers, force=True, timeout_s=options(ctx).timeout)
    _show_outcome(*act(ctx, SUBSCRIBERS_KICK, request, Kicked), output)


def _confirm(chosen: Sequence[Subscriber]) -> None:
    """Raises NeedsConfirmationError unless a person answers yes."""
    if sys.stderr.isatty():
        draw(SUBSCRIBER_TABLE, chosen[:PREVIEW], stream=sys.stderr)
        if len(chosen) > PREVIEW:
            say(f"and {len(chosen) - PREVIEW:,} more")
    confirm(
        f"end {formats.plural(len(chosen), 'connection')}",
        hint="--dry-run shows them, --yes does it",
        refused="no connection was ended",
    )


def outcome(answer: Kicked) -> list[Figure]:
    """What became of them."""
    closing = len(answer.closing)
    return [
        Figure("kicked", formats.plural(answer.kicked, "connection")),
        Figure("already gone", formats.count(answer.gone)),
        Figure("still there", formats.count(closing), "red" if closing else None),
    ]


def _show_outcome(answer: Kicked, raw: bytes, output: Format) -> None:
    show_figures(output, outcome(answer), raw=raw, names=[str(each) for each in answer.closing])
    if answer.closing:
        say("told to go, and reset within 5 s if they do not: `qcfeed subscribers`")
        raise typer.Exit(ExitStatus.FINDINGS)
