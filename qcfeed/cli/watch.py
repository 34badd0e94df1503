"""``qcfeed watch``: live quotes, as a table on a terminal and as JSON lines in a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import typer

from qcfeed.cli.context import client, examples, new_app, options, say
from qcfeed.cli.ui.formats import age, plural
from qcfeed.cli.watch_views import View, Viewer, viewer
from qcfeed.client import endpoint
from qcfeed.client.endpoint import Endpoint
from qcfeed.client.gaps import Gap, Repeat
from qcfeed.client.stream import Connected, Disconnected, Event, Received, stream
from qcfeed.config import Config
from qcfeed.control import routes
from qcfeed.errors import ExitStatus, UnreachableError
from qcfeed.model import symbol
from qcfeed.model.answers import Status
from qcfeed.model.messages import Quote
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.upstreams import recording

_REDRAW = 0.25
_DEFAULT = Config()

app = new_app()


@app.command(
    epilog=examples(
        "qcfeed watch AAPL MSFT",
        "qcfeed watch AAPL -o json --count 10 | jq .bid",
        "qcfeed watch AAPL --slow drop-oldest -o json",
        "qcfeed watch AAPL --for 3600 --record quotes.jsonl.gz",
    )
)
def watch(
    ctx: typer.Context,
    symbols: Annotated[list[str], typer.Argument(metavar="SYMBOL...", help="What to watch.")],
    server: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="ws://HOST:PORT of the service; found by itself on this machine."
        ),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write quotes here too, for `--upstream replay:FILE`; .gz is packed.",
        ),
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Leave after so many quotes.")] = None,
    seconds: Annotated[
        float | None, typer.Option("--for", min=0.001, help="Leave after so many seconds.")
    ] = None,
    slow: Annotated[
        SlowConsumerPolicy | None,
        typer.Option(
            help="What the service does when this falls behind: send only the newest, drop the"
            " oldest, or disconnect; its own setting if none is given.",
        ),
    ] = None,
    output: Annotated[
        View | None,
        typer.Option("-o", "--output", help="table (on a terminal) or json (when piped)."),
    ] = None,
) -> None:
    """Show live quotes of symbols.

    A table on a terminal; elsewhere JSON lines, each message as it was received. Comes back by
    itself when the connection is lost, and tells of that and of missed quotes on stderr.
    Ctrl-C ends it: exit 0, or 130 when --count or --for were not reached.
    """
    wanted = list(dict.fromkeys(symbol.parse(text) for text in symbols))
    where = endpoint.parse(server) if server else _found(ctx)
    show = viewer(wanted, output or (View.TABLE if sys.stdout.isatty() else View.JSON))
    with show as view, _recorder(record) as write:
        done = _run(_follow(stream(where, wanted, slow=slow), view, write, count, seconds))
    if not done and (count is not None or seconds is not None):
        raise typer.Exit(ExitStatus.INTERRUPTED)


def _found(ctx: typer.Context) -> Endpoint:
    """Where the chosen instance takes connections, or the default when none was chosen or runs."""
    given = options(ctx)
    try:
        status = client(ctx).get(routes.STATUS, Status)
    except UnreachableError:
        if given.named:
            raise
        return Endpoint("ws", _DEFAULT.host, _DEFAULT.port)
    return endpoint.parse(f"ws://{status.listening.websocket}")


def _run(work: Coroutine[None, None, None]) -> bool:
    """Whether ``work`` came to its end, and not the person's patience."""
    try:
        asyncio.run(work)
    except (KeyboardInterrupt, asyncio.CancelledError):
        return False
    return True


async def _follow(
    events: AsyncGenerator[Event, None],
    view: Viewer,
    write: Callable[[Quote], None],
    count: int | None,
    seconds: float | None,
) -> None:
    """Show and record events until ``count`` quotes or ``seconds`` are over."""
    task = asyncio.current_task()
    if task is not None:  # a recording must be whole, whoever ends it
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    limit = asyncio.timeout(seconds)
    try:
        async with limit, asyncio.TaskGroup() as group, aclosing(events):
            redrawing = group.create_task(_redraw(view))
            await _take(events, view, write, count)
            redrawing.cancel()
    except TimeoutError:
        if not limit.expired():
            raise
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _take(
    events: AsyncGenerator[Event, None],
    view: Viewer,
    write: Callable[[Quote], None],
    count: int | None,
) -> None:
    quotes = 0
    again = ""
    async for event in events:
        _tell(event, again)
        view.take(event)
        if isinstance(event, Received) and isinstance(event.message, Quote):
            write(event.message)
            quotes += 1
            if quotes == count:
                return
        elif isinstance(event, Connected):
            again = " again"


async def _redraw(view: Viewer) -> None:
    while True:
        await asyncio.sleep(_REDRAW)
        view.redraw()


def _tell(event: Event, again: str) -> None:
    """What a person should know beside the quotes, on stderr."""
    match event:
        case Connected(url=url):
            say(f"connected{again} to {url}")
        case Disconnected(reason=reason, retry_in=retry_in):
            say(f"disconnected: {reason}; next try in {age(retry_in)}")
        case Gap():
            missed = plural(event.missed, "quote")
            say(f"{event.symbol}: {missed} missed ({event.expected} to {event.got - 1})")
        case Repeat():
            say(f"{event.symbol}: quote {event.got} again or late, {event.expected} was due")
        case Received():
            pass


@contextlib.contextmanager
def _recorder(path: Path | None) -> Iterator[Callable[[Quote], None]]:
    """Writes quotes to ``path`` with the time they came, or nothing without a path."""
    if path is None:
        yield lambda _quote: None
        return
    with recording.RecordingWriter(path) as writer:
        yield lambda quote: writer.write(time.time(), quote)
