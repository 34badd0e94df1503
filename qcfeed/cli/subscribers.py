"""``qcfeed subscribers`` lists subscriber connections; ``subscribers kick`` disconnects some."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from qcfeed.cli import cluster
from qcfeed.cli.context import Format, Output, act, ask, examples, new_app, options, say
from qcfeed.cli.saved_files import From, read
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.confirm import confirm
from qcfeed.cli.ui.figures import LabelledValue, show_columns, show_figures
from qcfeed.cli.ui.listing import ALL, answered, listed, request_limit
from qcfeed.cli.ui.render import draw, show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import SUBSCRIBERS, SUBSCRIBERS_KICK
from qcfeed.errors import ExitStatus, UsageError, not_found
from qcfeed.model import symbol as symbols
from qcfeed.model.subscribers import Kicked, KickRequest, Subscribers, SubscriberStatus

PREVIEW = 10
"""The number of connections to show before the confirmation prompt; the rest is counted."""

DEFAULT_LIMIT = 1_000
MAX_KICKED = 100_000
"""The most connections that one kick may end (server/subscriber_handlers.py)."""

SYMBOLS_SHOWN = 3
"""The number of symbols to name per row of the table."""

app = new_app()

Slow = Annotated[
    bool,
    typer.Option(
        "--slow", help="Only connections that are behind or missed quotes in the last minute."
    ),
]
HoldsSymbol = Annotated[
    str,
    typer.Option("--symbol", metavar="SYMBOL", help="Only connections subscribed to this symbol."),
]

SUBSCRIBER_TABLE: Table[SubscriberStatus] = Table(
    (
        Column("id", right=True),
        Column("peer"),
        Column("name", wide=True),
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


NAMED_TABLE = SUBSCRIBER_TABLE._replace(
    columns=[
        each._replace(wide=False) if each.key == "name" else each
        for each in SUBSCRIBER_TABLE.columns
    ]
)
"""The table of a service that authenticates its subscribers."""


def _table(rows: Sequence[SubscriberStatus]) -> Table[SubscriberStatus]:
    return NAMED_TABLE if any(each.name is not None for each in rows) else SUBSCRIBER_TABLE


def _further(subscriber: SubscriberStatus) -> list[str]:
    """The number of symbols that the answer does not name, as ``+12``; empty if none."""
    more = subscriber.held - len(subscriber.symbols)
    return [f"+{more}"] if more else []


def _shortened(words: list[str]) -> str:
    """The first SYMBOLS_SHOWN symbols, then the number of the others."""
    if len(words) <= SYMBOLS_SHOWN:
        return " ".join(words)
    last = words[-1]
    more = len(words) - SYMBOLS_SHOWN + (int(last) - 1 if last.startswith("+") else 0)
    return " ".join([*words[:SYMBOLS_SHOWN], f"+{more:,}"])


def subscribers(
    ctx: typer.Context,
    slow: Slow = False,
    symbol: HoldsSymbol = "",
    limit: Annotated[
        int, typer.Option(min=1, metavar="N", help="List at most N connections.")
    ] = DEFAULT_LIMIT,
    source: From = None,
    output: Output = Format.TABLE,
) -> None:
    """List subscriber connections, the furthest behind first, or disconnect some.

    POLICY is what the service does when the connection reads too slowly. LAG is the number of
    quotes that it has not been sent yet. UNSENT is data buffered in the service, KERNEL is data in
    the kernel's send buffer that the peer has not acknowledged.

    Exit status: 0.
    """
    if ctx.invoked_subcommand is not None:
        return
    if cluster.is_asked(ctx, **{"from": source}):
        from qcfeed.cli.cluster import views

        views.subscribers(ctx, output, limit=limit, **_params(slow, symbol))
        return
    if source is None:
        answer, raw = _request(ctx, slow, symbol, limit=request_limit(limit))
    else:
        answer, raw = _saved(source, slow, symbol, request_limit(limit))
    if not answer.total and output in (Format.TABLE, Format.WIDE):
        say(_no_match(slow, symbol))
        return
    show(output, _table(answer.subscribers), answer.subscribers, raw=raw)
    if len(answer.subscribers) < answer.total:
        say(
            f"the {len(answer.subscribers):,} furthest behind of"
            f" {formats.plural(answer.total, 'subscriber')}: --limit N shows more"
        )


app.callback(
    invoke_without_command=True,
    subcommand_metavar="[COMMAND]",
    epilog=examples(
        "qcfeed subscribers",
        "qcfeed subscribers --slow",
        "qcfeed subscribers --sort-by -kernel_bytes --limit 5",
        "qcfeed subscribers --symbol AAPL -o csv > aapl.csv",
        "qcfeed subscribers kick --slow",
    ),
)(listed(subscribers, "state", states=("policy",), own_limit=ALL))


def _saved(source: Path, slow: bool, symbol: str, limit: int) -> tuple[Subscribers, bytes]:
    """The subscribers in a file that match. The file may have only the furthest behind."""
    answer, raw = read(source, SUBSCRIBERS, Subscribers)
    wanted = symbols.parse(symbol) if symbol else None
    matching = [
        each
        for each in answer.subscribers
        if (each.slow or not slow) and (wanted is None or wanted in each.symbols)
    ]
    answer.total = len(matching) if slow or wanted else answer.total
    answer.subscribers = matching[:limit]
    return answer, msgspec.json.encode(answer) if slow or wanted else raw


def _request(
    ctx: typer.Context, slow: bool, symbol: str, *, limit: int, ids: Sequence[int] = ()
) -> tuple[Subscribers, bytes]:
    return ask(
        ctx,
        SUBSCRIBERS,
        Subscribers,
        limit=limit,
        ids=",".join(map(str, ids)) or None,
        **_params(slow, symbol),
    )


def _params(slow: bool, symbol: str) -> dict[str, str | None]:
    return {"slow": "true" if slow else None, "symbol": symbol or None}


@app.command(name="show", epilog=examples("qcfeed subscribers show 48213"))
@answered
def show_one(
    ctx: typer.Context,
    number: Annotated[int, typer.Argument(min=1, metavar="ID", help="ID of the connection.")],
    source: From = None,
    output: Output = Format.TABLE,
) -> None:
    """Show one connection in full.

    Exit status: 0; 2 if there is no such open connection.
    """
    if source is None:
        answer, _ = _request(ctx, False, "", limit=1, ids=[number])
    else:
        answer, _ = _saved(source, False, "", MAX_KICKED)
    for each in answer.subscribers:
        if each.id == number:
            show_columns(output, SUBSCRIBER_TABLE, each)
            return
    raise not_found(
        "open connection", number, hint="`qcfeed subscribers` lists them; IDs are not reused"
    )


def _no_match(slow: bool, symbol: str) -> str:
    which = f" to {symbol.upper()}" if symbol else ""
    return f"no {'slow ' if slow else ''}subscribers{which}"


@app.command(
    epilog=examples(
        "qcfeed subscribers kick 48213            # asks first; an ID is never reused",
        "qcfeed subscribers kick --slow --dry-run",
        "qcfeed subscribers kick --symbol AAPL --yes",
    )
)
@answered
def kick(
    ctx: typer.Context,
    ids: Annotated[
        list[int] | None,
        typer.Argument(min=1, metavar="ID...", help="IDs of the connections to end."),
    ] = None,
    slow: Slow = False,
    symbol: HoldsSymbol = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show which connections would end.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Disconnect subscribers by ID, or all that match --slow or --symbol.

    The subscribers get close code 4411 and may reconnect. Shows the connections and asks for
    confirmation; ends only those shown.

    Exit status: 1 if a connection is still open after --timeout seconds; 6 if there is no terminal
    to ask on and no --yes; 0 otherwise.
    """
    if bool(ids) == (slow or bool(symbol)):
        raise UsageError(
            "name the connections to end: by their IDs, or with --slow or --symbol, not both",
            hint="`qcfeed subscribers` lists them; for example `qcfeed subscribers kick --slow`",
        )
    answer, raw = _request(ctx, slow, symbol, limit=MAX_KICKED, ids=ids or ())
    to_kick = answer.subscribers
    missing = sorted(set(ids or ()) - {each.id for each in to_kick})
    if missing:
        gone = not_found(
            "open connection", *missing, hint="`qcfeed subscribers` lists them; IDs are not reused"
        )
        if not to_kick:
            raise gone
        say(gone.message)
    if not to_kick:
        say(_no_match(slow, symbol))
        return
    if dry_run:
        show(output, _table(to_kick), to_kick, raw=raw)
        say(f"{formats.plural(len(to_kick), 'connection')} would be ended")
        return
    if not yes:
        _confirm(to_kick)
    # IDs and not the filter: a connection that became slow meanwhile was not shown.
    kicked = [each.id for each in to_kick]
    request = KickRequest(ids=kicked, force=True, timeout_s=options(ctx).timeout)
    _show_outcome(*act(ctx, SUBSCRIBERS_KICK, request, Kicked), output)


def _confirm(to_kick: Sequence[SubscriberStatus]) -> None:
    """Raises NeedsConfirmationError unless a person answers yes."""
    if sys.stderr.isatty():
        draw(_table(to_kick), to_kick[:PREVIEW], stream=sys.stderr)
        if len(to_kick) > PREVIEW:
            say(f"and {len(to_kick) - PREVIEW:,} more")
    confirm(
        f"end {formats.plural(len(to_kick), 'connection')}",
        hint="--dry-run shows them, --yes does it",
        refused="no connection was ended",
    )


def figures(answer: Kicked) -> list[LabelledValue]:
    """The outcome of a kick as figures."""
    closing = len(answer.closing)
    return [
        LabelledValue("kicked", formats.plural(answer.kicked, "connection")),
        LabelledValue("already gone", formats.count(answer.already_gone)),
        LabelledValue("still open", formats.count(closing), "red" if closing else None),
    ]


def _show_outcome(answer: Kicked, raw: bytes, output: Format) -> None:
    show_figures(output, figures(answer), raw=raw, names=[str(each) for each in answer.closing])
    if answer.closing:
        say("they are closing and will be reset within 5 s: check with `qcfeed subscribers`")
        raise typer.Exit(ExitStatus.FINDINGS)
