"""The two outputs of ``qcfeed watch``: JSON lines and a table."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from functools import partial
from typing import Protocol

from qcfeed.cli.ui import render
from qcfeed.cli.ui.formats import NOTHING, age
from qcfeed.cli.ui.table import Column, Table
from qcfeed.client import latest_quotes
from qcfeed.client.latest_quotes import LatestQuotes, SymbolState
from qcfeed.client.stream import Received, StreamEvent
from qcfeed.formats import decimal, printable_json
from qcfeed.model.messages import Band, Size
from qcfeed.model.symbol import Symbol

_COLOURS = {
    latest_quotes.LIVE: "green",
    Band.STALE: "yellow",
    Band.VERY_STALE: "red",
    Band.DEAD: "red",
    latest_quotes.DISCONNECTED: "red",
}


def _price(value: float) -> str:
    """A price with at least two decimals, and more if it has more."""
    cents = f"{value:.2f}"
    return cents if float(cents) == value else decimal(value)


def _amount(size: Size) -> str:
    if size is None:
        return NOTHING
    return f"{size:,}" if isinstance(size, int) else decimal(float(f"{size:.6g}"))


def _side(price: float | None, size: Size) -> str | None:
    return None if price is None else f"{_price(price)} x {_amount(size)}"


TABLE: Table[SymbolState] = Table(
    [
        Column("symbol"),
        Column(
            "bid",
            value=lambda line: line.quote and _side(line.quote.bid, line.quote.bid_size),
            right=True,
        ),
        Column(
            "ask",
            value=lambda line: line.quote and _side(line.quote.ask, line.quote.ask_size),
            right=True,
        ),
        Column(
            "last",
            value=lambda line: line.quote and line.quote.last,
            show=_price,
            right=True,
            rank=3,
        ),
        Column("age_s", header="AGE", show=age, right=True, rank=1),
        Column("state", colour=lambda line: _COLOURS.get(line.state)),
        Column("seq", value=lambda line: line.quote and line.quote.seq, right=True, rank=2),
        Column("gaps", right=True, colour=lambda line: "red" if line.gaps else None),
    ],
    identity=lambda line: line.symbol,
)


class WatchFormat(StrEnum):
    """The output formats."""

    TABLE = "table"
    JSON = "json"


class Viewer(Protocol):
    """Shows events; ``redraw`` is called several times per second."""

    def take(self, event: StreamEvent) -> None: ...

    def redraw(self) -> None: ...


class JsonLines:
    """Prints each message as received. Raises BrokenPipeError when the pipe is closed."""

    def take(self, event: StreamEvent) -> None:
        if isinstance(event, Received):
            sys.stdout.write(printable_json(event.text.encode()) + "\n")
            sys.stdout.flush()

    def redraw(self) -> None:
        pass


class QuoteTable:
    """A table of the latest quotes, redrawn on a terminal; in a pipe printed once, at the end."""

    def __init__(
        self,
        symbols: Sequence[Symbol],
        draw: Callable[[Sequence[SymbolState]], None],
        *,
        live: bool,
    ) -> None:
        self._quotes = LatestQuotes(symbols)
        self._draw = draw
        self._live = live

    def take(self, event: StreamEvent) -> None:
        self._quotes.apply(event, time.monotonic())

    def redraw(self) -> None:
        if self._live:
            self.finish()

    def finish(self) -> None:
        self._draw(self._quotes.states(time.monotonic()))


@contextlib.contextmanager
def viewer(symbols: Sequence[Symbol], view: WatchFormat) -> Iterator[Viewer]:
    """A viewer for ``symbols``. At the end it draws the table a last time."""
    if view is WatchFormat.JSON:
        yield JsonLines()
        return
    live = sys.stdout.isatty()
    drawn = render.live(TABLE) if live else contextlib.nullcontext(partial(render.draw, TABLE))
    with drawn as draw:
        table = QuoteTable(symbols, draw, live=live)
        yield table
        table.finish()
