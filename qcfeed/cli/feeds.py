"""``qcfeed feeds``: a row a symbol; and ``qcfeed feeds cancel``: force feeds down."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from qcfeed.cli.context import Format, Output, act, ask, examples, new_app, options, say
from qcfeed.cli.saved_files import From, ask_or_read
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.confirm import confirm
from qcfeed.cli.ui.render import draw, show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import FEEDS, FEEDS_CANCEL
from qcfeed.errors import ExitStatus, NotFoundError, UsageError
from qcfeed.model import symbol
from qcfeed.model.answers import CancelFeedsRequest, CancelledFeed, CancelledFeeds, Feed, Feeds

PREVIEW = 10
"""Feeds that are listed before the question; more are counted."""

_BAND_COLOURS = {"stale": "yellow", "very_stale": "red", "dead": "red"}

app = new_app()

FEED_TABLE: Table[Feed] = Table(
    (
        Column("symbol"),
        Column("state", value=lambda f: f"{f.demand}/{f.upstream}"),
        Column("subscribers", show=formats.count, right=True),
        Column("last_quote_at", header="LAST QUOTE", show=formats.clock),
        Column("age_s", header="STALENESS", show=formats.age, right=True),
        Column(
            "band",
            header="STATUS",
            show=lambda band: band.replace("_", " "),
            colour=lambda f: _BAND_COLOURS.get(f.band),
        ),
        Column("quotes_per_s", header="QUOTES/S", show=formats.rate, right=True),
        Column("generation", header="GEN", right=True, rank=1),
        Column("quotes", show=formats.count, right=True, wide=True),
        Column("restarts", right=True, wide=True),
        Column("reason", wide=True),
        Column("failure", wide=True),
    ),
    identity=lambda feed: feed.symbol,
)

CANCELLED_TABLE: Table[CancelledFeed] = Table(
    (
        Column("symbol"),
        Column("subscribers", show=formats.count, right=True),
        Column(
            "joined",
            header="ENDED",
            show=lambda joined: "yes" if joined else "not yet",
            colour=lambda f: None if f.joined else "red",
        ),
    ),
    identity=lambda feed: feed.symbol,
)


@app.callback(
    invoke_without_command=True,
    subcommand_metavar="[COMMAND]",
    epilog=examples(
        "qcfeed feeds",
        "qcfeed feeds -o csv > feeds.csv",
        "qcfeed feeds cancel AAPL",
    ),
)
def feeds(ctx: typer.Context, source: From = None, output: Output = Format.TABLE) -> None:
    """List feeds, one a symbol, or cancel them.

    The state is demand/upstream; staleness is the age of the last quote; gen(eration) counts a
    feed's lives. Times are UTC.
    """
    if ctx.invoked_subcommand is not None:
        return
    answer, raw = ask_or_read(ctx, FEEDS, Feeds, source=source)
    if not answer.feeds and output in (Format.TABLE, Format.WIDE):
        say("no feeds: nobody is subscribed")
        return
    show(output, FEED_TABLE, answer.feeds, raw=raw)


@app.command(
    epilog=examples(
        "qcfeed feeds cancel AAPL MSFT        # asks, when somebody is subscribed",
        "qcfeed feeds cancel --all --yes      # asks nothing",
    )
)
def cancel(
    ctx: typer.Context,
    symbols: Annotated[
        list[str] | None, typer.Argument(metavar="SYMBOL...", help="Whose feeds to cancel.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every feed there is.")] = False,
    yes: Annotated[
        bool,
        typer.Option("--yes", "-y", help="Do it although somebody is subscribed; ask nothing."),
    ] = False,
    output: Output = Format.TABLE,
) -> None:
    """Force feeds down; their subscribers are told so (close 4410) and may come back.

    Asks first when a feed has subscribers; without a terminal to ask on, --yes is needed (exit 6).
    Exit status: 1 when a feed's task has not ended within --timeout seconds, 0 otherwise.
    """
    if bool(symbols) == everything:
        raise UsageError(
            "say which feeds to cancel: their symbols, or --all",
            hint="`qcfeed feeds` lists them; for example `qcfeed feeds cancel AAPL`",
        )
    chosen = _chosen(ask(ctx, FEEDS, Feeds)[0].feeds, symbols)
    if not chosen:
        say("no feeds: there is nothing to cancel")
        return
    force = yes or _confirmed(chosen)
    request = CancelFeedsRequest(
        symbols=[feed.symbol for feed in chosen], force=force, timeout_s=options(ctx).timeout
    )
    answer, raw = act(ctx, FEEDS_CANCEL, request, CancelledFeeds)
    show(output, CANCELLED_TABLE, answer.feeds, raw=raw)
    if not all(feed.joined for feed in answer.feeds):
        say("some tasks have not ended yet: `qcfeed tasks` shows what they wait on")
        raise typer.Exit(ExitStatus.FINDINGS)


def _chosen(present: Sequence[Feed], wanted: Sequence[str] | None) -> list[Feed]:
    """The feeds that were named, or all. Raises NotFoundError for one that does not exist."""
    if wanted is None or not wanted:
        return list(present)
    by_symbol = {feed.symbol: feed for feed in present}
    names = list(dict.fromkeys(symbol.parse(text) for text in wanted))
    if missing := [name for name in names if name not in by_symbol]:
        raise NotFoundError(
            f"there is no feed of {', '.join(missing)}", hint="`qcfeed feeds` lists those there are"
        )
    return [by_symbol[name] for name in names]


def _confirmed(chosen: Sequence[Feed]) -> bool:
    """Whether subscribers may be cut off: false when there are none, so that none will be.

    Raises NeedsConfirmationError when there are some and nobody says yes.
    """
    busy = [feed for feed in chosen if feed.subscribers]
    if not busy:
        return False
    draw(FEED_TABLE, busy[:PREVIEW], stream=sys.stderr)
    if len(busy) > PREVIEW:
        say(f"and {len(busy) - PREVIEW:,} more")
    subscribers = formats.plural(sum(feed.subscribers for feed in busy), "subscriber")
    confirm(
        f"cancel {formats.plural(len(chosen), 'feed')} with {subscribers}",
        hint="add --yes to do it",
        refused="nothing was cancelled",
    )
    return True
