"""``qcfeed feeds`` lists feeds, one row per symbol; ``qcfeed feeds cancel`` cancels them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from qcfeed.cli import cluster
from qcfeed.cli.context import Format, Output, act, ask, examples, new_app, options, say
from qcfeed.cli.saved_files import From, ask_or_read
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.confirm import confirm
from qcfeed.cli.ui.figures import show_columns
from qcfeed.cli.ui.listing import answered, listed
from qcfeed.cli.ui.render import draw, show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import FEEDS, FEEDS_CANCEL
from qcfeed.errors import ExitStatus, UsageError, not_found
from qcfeed.model import symbol
from qcfeed.model.feeds import CancelFeedsRequest, CancelledFeed, CancelledFeeds, Feeds, FeedStatus
from qcfeed.model.messages import Band

PREVIEW = 10
"""The number of feeds to show before the confirmation prompt; the rest is counted."""

_BAND_COLOURS = {"stale": "yellow", "very_stale": "red", "dead": "red"}

WAITING = "waiting"
"""The status of a symbol before its first quote, as long as that is not overdue."""

app = new_app()

FEED_TABLE: Table[FeedStatus] = Table(
    (
        Column("symbol"),
        Column("state", value=lambda f: f"{f.demand}/{f.upstream_state}"),
        Column("subscriber_count", header="SUBSCRIBERS", show=formats.count, right=True),
        Column("last_quote_at", header="LAST QUOTE", show=formats.clock),
        Column("age_s", header="STALENESS", show=formats.age, right=True),
        Column(
            "band",
            value=lambda f: WAITING if f.last_quote_at is None and f.band == Band.LIVE else f.band,
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
        Column("subscriber_count", header="SUBSCRIBERS", show=formats.count, right=True),
        Column(
            "joined",
            header="ENDED",
            show=lambda joined: "yes" if joined else "not yet",
            colour=lambda f: None if f.joined else "red",
        ),
    ),
    identity=lambda feed: feed.symbol,
)


def feeds(ctx: typer.Context, source: From = None, output: Output = Format.TABLE) -> None:
    """List feeds, one per symbol, or cancel them.

    STATE is demand/upstream, STALENESS is the age of the last quote, GEN (generation) is how often
    the feed's upstream was opened. Times are UTC.

    Exit status: 0.
    """
    if ctx.invoked_subcommand is not None:
        return
    if cluster.is_asked(ctx, **{"from": source}):
        from qcfeed.cli.cluster import views

        views.feeds(ctx, output)
        return
    answer, raw = ask_or_read(ctx, FEEDS, Feeds, source=source)
    if not answer.feeds and output in (Format.TABLE, Format.WIDE):
        say("no feeds: there are no subscribers")
        return
    show(output, FEED_TABLE, answer.feeds, raw=raw)


app.callback(
    invoke_without_command=True,
    subcommand_metavar="[COMMAND]",
    epilog=examples(
        "qcfeed feeds",
        "qcfeed feeds --state stale --sort-by -age_s",
        "qcfeed feeds --watch 5",
        "qcfeed feeds -o csv > feeds.csv",
        "qcfeed feeds --jq '.feeds[] | select(.restarts > 0) | .symbol'",
        "qcfeed feeds cancel AAPL",
    ),
)(listed(feeds, "symbol", "state", states=("demand", "upstream_state", "band")))


@app.command(
    name="show", epilog=examples("qcfeed feeds show AAPL", "qcfeed feeds show AAPL -o json")
)
@answered
def show_one(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="SYMBOL", help="Symbol of the feed.")],
    source: From = None,
    output: Output = Format.TABLE,
) -> None:
    """Show one feed in full.

    Exit status: 0; 2 if there is no such feed.
    """
    answer, _ = ask_or_read(ctx, FEEDS, Feeds, source=source)
    [found] = _named(answer.feeds, [name])
    show_columns(output, FEED_TABLE, found)


@app.command(
    epilog=examples(
        "qcfeed feeds cancel AAPL MSFT        # asks first if the feeds have subscribers",
        "qcfeed feeds cancel --all --yes      # does not ask",
    )
)
@answered
def cancel(
    ctx: typer.Context,
    symbols: Annotated[
        list[str] | None,
        typer.Argument(metavar="SYMBOL...", help="Symbols whose feeds to cancel."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Cancel all feeds.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask, even if the feeds have subscribers.")
    ] = False,
    output: Output = Format.TABLE,
) -> None:
    """Cancel feeds: end their tasks and close their subscribers' connections.

    The subscribers get close code 4410 and may reconnect. Asks for confirmation if a feed has
    subscribers.

    Exit status: 1 if a feed's task has not ended within --timeout seconds; 6 if confirmation is
    needed but there is no terminal and no --yes; 0 otherwise.
    """
    if bool(symbols) == everything:
        raise UsageError(
            "name the feeds to cancel by their symbols, or give --all",
            hint="`qcfeed feeds` lists them; for example `qcfeed feeds cancel AAPL`",
        )
    to_cancel = _named(ask(ctx, FEEDS, Feeds)[0].feeds, symbols)
    if not to_cancel:
        say("no feeds; nothing was cancelled")
        return
    force = yes or _confirmed(to_cancel)
    request = CancelFeedsRequest(
        symbols=[feed.symbol for feed in to_cancel], force=force, timeout_s=options(ctx).timeout
    )
    answer, raw = act(ctx, FEEDS_CANCEL, request, CancelledFeeds)
    show(output, CANCELLED_TABLE, answer.feeds, raw=raw)
    if not all(feed.joined for feed in answer.feeds):
        say("some tasks have not ended yet: `qcfeed tasks` shows what they wait on")
        raise typer.Exit(ExitStatus.FINDINGS)


def _named(present: Sequence[FeedStatus], names: Sequence[str] | None) -> list[FeedStatus]:
    """The feeds of these symbols, or all. Raises NotFoundError if there is no such feed."""
    if not names:
        return list(present)
    by_symbol = {feed.symbol: feed for feed in present}
    symbols = list(dict.fromkeys(symbol.parse(name) for name in names))
    if missing := [each for each in symbols if each not in by_symbol]:
        raise not_found(
            "feed for", *missing, hint="`qcfeed feeds` lists the feeds", known=by_symbol
        )
    return [by_symbol[each] for each in symbols]


def _confirmed(feeds: Sequence[FeedStatus]) -> bool:
    """Whether the feeds may be cancelled with their subscribers: False if they have none.

    With False, the service refuses if a subscriber has arrived since. Raises NeedsConfirmationError
    if there are subscribers and nobody answers yes.
    """
    busy = [feed for feed in feeds if feed.subscriber_count]
    if not busy:
        return False
    draw(FEED_TABLE, busy[:PREVIEW], stream=sys.stderr)
    if len(busy) > PREVIEW:
        say(f"and {len(busy) - PREVIEW:,} more")
    subscribers = formats.plural(sum(feed.subscriber_count for feed in busy), "subscriber")
    confirm(
        f"cancel {formats.plural(len(feeds), 'feed')} with {subscribers}",
        hint="add --yes to do it",
        refused="nothing was cancelled",
    )
    return True
