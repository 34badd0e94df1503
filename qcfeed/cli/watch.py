"""``qcfeed watch``: shows live quotes, as a table on a terminal and as JSON lines in a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from qcfeed.cli import output_files
from qcfeed.cli.context import client, examples, new_app, options, say
from qcfeed.cli.credentials import TokenFile, token_source, warn_unencrypted
from qcfeed.cli.tls import TlsCa, TlsClientCert, TlsClientKey, contexts
from qcfeed.cli.ui.formats import age, plural
from qcfeed.cli.watch_views import Viewer, WatchFormat, viewer
from qcfeed.client import endpoint
from qcfeed.client.endpoint import Endpoint
from qcfeed.client.gaps import Gap, Repeat
from qcfeed.client.stream import Connected, Disconnected, Received, StreamEvent, stream
from qcfeed.client.trust import Trust
from qcfeed.config import Config
from qcfeed.control import routes
from qcfeed.errors import ExitStatus, UnreachableError, UsageError
from qcfeed.model import symbol
from qcfeed.model.messages import Quote
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.status import ServiceStatus
from qcfeed.model.symbol import Symbol
from qcfeed.upstreams import recording

_REDRAW_INTERVAL = 0.25
_DEFAULT = Config()
"""Where a service listens by default."""

app = new_app()


@app.command(
    epilog=examples(
        "qcfeed watch AAPL MSFT",
        "qcfeed watch ws://127.0.0.1:8006/quotes/AAPL",
        "qcfeed watch AAPL -o json --count 10 | jq .bid",
        "qcfeed watch AAPL --slow drop-oldest -o json",
        "qcfeed watch AAPL --for 3600 --record quotes.jsonl.gz",
        "qcfeed watch AAPL --server wss://feed.example --token-file desk-7.key",
    )
)
def watch(
    ctx: typer.Context,
    symbols: Annotated[
        list[str],
        typer.Argument(
            metavar="SYMBOL...",
            help="Symbols to watch; or ws://HOST:PORT/quotes/SYMBOL, as other clients take it.",
        ),
    ],
    server: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="ws://HOST:PORT of the service. Default: the one on this machine.",
        ),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write the quotes to FILE, for `--upstream replay:FILE`; .gz is compressed.",
        ),
    ] = None,
    force: output_files.Force = False,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after this many quotes.")] = None,
    seconds: Annotated[
        float | None, typer.Option("--for", min=0.001, help="Stop after this many seconds.")
    ] = None,
    slow: Annotated[
        SlowConsumerPolicy | None,
        typer.Option(
            help="Policy of the service when this client reads too slowly: send only the newest"
            " quotes, drop the oldest, or disconnect. Default: the service's own.",
        ),
    ] = None,
    token_file: TokenFile = None,
    tls_ca: TlsCa = None,
    tls_client_cert: TlsClientCert = None,
    tls_client_key: TlsClientKey = None,
    output: Annotated[
        WatchFormat | None,
        typer.Option("-o", "--output", help="table (default on a terminal) or json (in a pipe)."),
    ] = None,
) -> None:
    """Show live quotes.

    Prints a table on a terminal, and in a pipe JSON lines, each message as received. Reconnects when
    the connection is lost; reports that and missed quotes on stderr.

    Exit status: 0 at the end, also by Ctrl-C; 130 by Ctrl-C before --count or --for is reached.
    """
    output_files.check(record, force=force)
    address, parsed = _watched(symbols, server)
    own = None
    if address is None:
        address = _endpoint(ctx)
        own = partial(client(ctx).get, routes.STATUS, ServiceStatus)
    tls = contexts(Trust(tls_ca, tls_client_cert, tls_client_key), address.scheme, own)
    token = token_source(token_file)
    warn_unencrypted(address, token())
    show = viewer(
        parsed, output or (WatchFormat.TABLE if sys.stdout.isatty() else WatchFormat.JSON)
    )
    with show as view, _recorder(record) as write:
        done = _run(
            _follow(
                stream(address, parsed, slow=slow, token=token, tls=tls),
                view,
                write,
                count,
                seconds,
            )
        )
    if not done and (count is not None or seconds is not None):
        raise typer.Exit(ExitStatus.INTERRUPTED)


def _watched(words: list[str], server: str | None) -> tuple[Endpoint | None, list[Symbol]]:
    """The server, if it is named, and the symbols: from --server, from URLs among the words, and from the rest."""
    urls = [text for text in (server, *words) if text and "://" in text]
    parsed = [endpoint.parse_url(text) for text in urls]
    servers = {each for each, _ in parsed}
    if len(servers) > 1:
        raise UsageError(
            f"{' and '.join(map(str, servers))} are two servers", hint="watch one at a time"
        )
    if server is not None and urls[:1] != [server]:
        servers = {endpoint.parse(server)}  # explains what is wrong with it
    found = [each for _, each in parsed if each is not None]
    found += [symbol.parse(text) for text in words if "://" not in text]
    if not found:
        raise UsageError("no symbol to watch", hint="give some, or ws://HOST:PORT/quotes/SYMBOL")
    return next(iter(servers), None), list(dict.fromkeys(found))


def _endpoint(ctx: typer.Context) -> Endpoint:
    """The address of the service that the options name; the default one if none is named or runs."""
    given = options(ctx)
    try:
        status = client(ctx).get(routes.STATUS, ServiceStatus)
    except UnreachableError:
        if given.name_a_service:
            raise
        return Endpoint("ws", _DEFAULT.host, _DEFAULT.port)
    return endpoint.parse(status.listening.quotes_url)


def _run(work: Coroutine[None, None, None]) -> bool:
    """Run ``work``. True if it ended by itself, False if it was interrupted."""
    try:
        asyncio.run(work)
    except (KeyboardInterrupt, asyncio.CancelledError):
        return False
    return True


async def _follow(
    events: AsyncGenerator[StreamEvent, None],
    view: Viewer,
    write: Callable[[Quote], None],
    count: int | None,
    seconds: float | None,
) -> None:
    """Show and record events until ``count`` quotes have come or ``seconds`` have passed."""
    task = asyncio.current_task()
    if task is not None:  # so that SIGTERM closes the recording properly
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
    events: AsyncGenerator[StreamEvent, None],
    view: Viewer,
    write: Callable[[Quote], None],
    count: int | None,
) -> None:
    quotes = 0
    again = ""
    async for event in events:
        _report(event, again)
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
        await asyncio.sleep(_REDRAW_INTERVAL)
        view.redraw()


def _report(event: StreamEvent, again: str) -> None:
    """Print on stderr what happens to the connection, and missed or repeated quotes."""
    match event:
        case Connected(url=url):
            say(f"connected{again} to {url}")
        case Disconnected(reason=reason, retry_in=retry_in):
            say(f"disconnected: {reason}; next try in {age(retry_in)}")
        case Gap():
            missed = plural(event.missed, "quote")
            say(f"{event.symbol}: {missed} missed ({event.expected} to {event.got - 1})")
        case Repeat():
            say(f"{event.symbol}: quote {event.got} repeated or late, expected {event.expected}")
        case Received():
            pass


@contextlib.contextmanager
def _recorder(path: Path | None) -> Iterator[Callable[[Quote], None]]:
    """A function that writes quotes to ``path`` with their time of arrival; without a path, it does
    nothing."""
    if path is None:
        yield lambda _quote: None
        return
    with recording.RecordingWriter(path) as writer:
        yield lambda quote: writer.write(time.time(), quote)
