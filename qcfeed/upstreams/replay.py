"""Replays a recording.

All feeds share one timeline. It starts on the first demand and then runs like a market, with or without
subscribers. A feed that joins later gets the tick that is current at that moment, and then those that
follow. Unpaced (``speed=max``) there is no timeline: each feed plays its own ticks from the start, as
fast as its subscribers accept them.

With ``loop`` the recording starts again at its end. Without it the feeds stay open but silent, as when
a market closes: the symbols become stale, and ``health`` says why.

The file is loaded once at the start, with about 310 bytes per tick and at most a million ticks. Raw
captures are run through the same book as the live upstream; only ticks that change the best bid and
ask or the last price are kept.

    replay:FILE?speed=2&loop=1   also `replay:///abs/file`; speed `max` or 0: unpaced
"""

from __future__ import annotations

import asyncio
import logging
from array import array
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal
from urllib.parse import unquote

import msgspec
from msgspec import Meta

from qcfeed import files
from qcfeed.errors import ConfigError, InvalidSymbolError, UnknownSymbolError
from qcfeed.formats import plural
from qcfeed.model.messages import Quote, Tick, find_fault
from qcfeed.model.symbol import Symbol, parse
from qcfeed.upstreams import coinbase_messages as protocol
from qcfeed.upstreams.base import Sink, Upstream, UpstreamHealth
from qcfeed.upstreams.coinbase_book import Product
from qcfeed.upstreams.recording import RecordingReader
from qcfeed.upstreams.timestamps import render
from qcfeed.upstreams.url import UpstreamUrl

MAX_TICKS = 1_000_000
_BATCH = 128
_SHORTEST_LAP = 1.0
_MAX_REPORTED = 10

log = logging.getLogger(__name__)


class Track:
    """One symbol's ticks, and when each is due in seconds since the start of the recording."""

    __slots__ = ("due", "ticks")

    def __init__(self) -> None:
        # A quarter of the memory of a list of floats.
        self.due = array("d")
        self.ticks: list[Tick] = []


class _ReplayQuery(msgspec.Struct, forbid_unknown_fields=True):
    usage: ClassVar[str] = "speed: from 0 to 1,000,000, or max; loop: 0 or 1"
    speed: Annotated[float, Meta(ge=0, le=1_000_000)] | Literal["max"] = 1.0
    loop: bool = False


def connect(url: UpstreamUrl) -> Replay:
    """The upstream for a ``replay:`` URL; reads the recording. Raises ConfigError."""
    name = unquote(url.parts.path)
    if url.parts.netloc or not name:
        raise ConfigError(
            f"upstream replay: needs a file, not {url.parts.netloc + url.parts.path!r}",
            hint="replay:relative/file.jsonl.gz or replay:///absolute/file.jsonl.gz",
        )
    query = url.query(_ReplayQuery)
    speed = None if query.speed == "max" else query.speed or None
    try:
        path = files.expand(name)
    except OSError as error:
        raise ConfigError(f"upstream replay:{name}: {error.strerror}") from error
    return Replay(path, speed=speed, loop=query.loop)


class Replay(Upstream):
    """``replay:FILE``. ``speed`` is a factor; None means unpaced."""

    def __init__(self, path: Path, *, speed: float | None = 1.0, loop: bool = False) -> None:
        shown = "max" if speed is None else f"{speed:g}"
        self.name = f"replay:{path}?speed={shown}" + ("&loop=1" if loop else "")
        self._path = path
        self._speed = speed
        self._loop = loop
        self._tracks, self._duration = load(path)
        self._start: float | None = None
        self._ended = False

    def knows(self, symbol: Symbol) -> bool:
        return symbol in self._tracks

    def symbols(self) -> Sequence[Symbol]:
        return tuple(self._tracks)

    def health(self) -> UpstreamHealth:
        detail = "the recording has ended" if self._ended else ""
        return UpstreamHealth(connected=not self._ended, detail=detail)

    async def run(self, symbol: Symbol, sink: Sink) -> None:
        track = self._tracks.get(symbol)
        if track is None:
            known = ", ".join(sorted(self._tracks)[:5])
            raise UnknownSymbolError(f"the recording has no {symbol}", hint=f"it has {known}")
        sink.opened()
        if self._speed is None:
            await self._run_unpaced(track, sink)
        else:
            await self._run_paced(track, sink, self._speed)
        self._end()
        # The feed stays open and silent until it is cancelled: a task that ended would be
        # restarted.
        await asyncio.get_running_loop().create_future()

    async def _run_unpaced(self, track: Track, sink: Sink) -> None:
        while True:
            for index in range(0, len(track.ticks), _BATCH):
                sink.publish(track.ticks[index : index + _BATCH])
                await sink.ready()
                # Even if the sink is always ready, other tasks must get their turn.
                await asyncio.sleep(0)
            if not self._loop:
                return

    async def _run_paced(self, track: Track, sink: Sink, speed: float) -> None:
        clock = asyncio.get_running_loop().time
        if self._start is None:
            self._start = clock()
        start = self._start
        length = max(self._duration, _SHORTEST_LAP)
        position = (clock() - start) * speed
        lap = position // length if self._loop else 0.0
        index = bisect_right(track.due, position - lap * length)
        # A feed that opens in the middle begins with the last tick before that.
        if index:
            sink.publish(track.ticks[index - 1 : index])
        while True:
            while index < len(track.due):
                begin = lap * length
                await asyncio.sleep(start + (begin + track.due[index]) / speed - clock())
                reached = bisect_right(track.due, (clock() - start) * speed - begin, index)
                if reached > index:
                    sink.publish(track.ticks[index:reached])
                index = reached
            if not self._loop:
                await asyncio.sleep(start + self._duration / speed - clock())
                return
            # After a long stall the laps in between are skipped.
            lap = max(lap + 1, (clock() - start) * speed // length)
            index = 0

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            log.warning(
                "%s has ended; its symbols will become stale (loop=1 repeats it)", self._path
            )


def load(path: Path) -> tuple[dict[Symbol, Track], float]:
    """Load a recording: its tracks, and the seconds between its first and its last tick.

    Raises ConfigError for an unreadable or invalid file, or one with no ticks or too many.
    """
    reader = RecordingReader(path)
    tracks: dict[Symbol, Track] = {}
    count = 0
    first = last = 0.0
    for at, symbol, tick in _ticks(reader):
        first = first if count else at
        last = max(last, at)
        track = tracks.setdefault(symbol, Track())
        # The latest time so far, because a search needs ascending times, which a capture need not
        # have.
        track.due.append(last - first)
        track.ticks.append(tick)
        count += 1
        if count > MAX_TICKS:
            raise ConfigError(
                f"{path} has more than {MAX_TICKS:,} quotes, too many to keep in memory",
                hint="replay a part of it, for example its first 1,000,000 lines",
            )
    if not count:
        raise ConfigError(f"{path} has no quotes", hint="record some: qcfeed watch --record FILE")
    if reader.truncated:
        log.warning("%s: skipped the incomplete last line", path)
    return tracks, last - first


def _ticks(reader: RecordingReader) -> Iterator[tuple[float, Symbol, Tick]]:
    faults = _Faults(reader.path)
    products: defaultdict[str, Product] = defaultdict(Product)
    for at, message in reader:
        try:
            if isinstance(message, Quote):
                m = message
                symbol = parse(m.symbol)
                tick = Tick(m.bid, m.bid_size, m.ask, m.ask_size, m.last, m.ts)
                if fault := find_fault(tick):
                    faults.add(symbol, at, f"invalid {fault}")
                else:
                    yield at, symbol, tick
            elif isinstance(message, bytes):
                yield from _raw_capture_ticks(products, faults, at, message)
        except (InvalidSymbolError, ValueError) as error:
            raise ConfigError(f"{reader.path}: invalid message at time {at}: {error}") from error
    faults.report()


def _raw_capture_ticks(
    products: defaultdict[str, Product], faults: _Faults, at: float, text: bytes
) -> Iterator[tuple[float, Symbol, Tick]]:
    """The tick that a message causes, if any. Raises ValueError for an invalid one about no product.

    If an update must be missing, the product has no ticks until its next snapshot; the live upstream
    would subscribe to it again.
    """
    try:
        message = protocol.decode(text)
    except protocol.InvalidMessageError as error:
        if error.product is None:
            raise
        faults.add(error.product, at, str(error))
        if error.breaks_book:
            products[error.product].discard_book()
        return
    if not isinstance(message, protocol.ProductMessage):
        return
    product = products[message.product_id]
    try:
        tick = product.apply(message, render(round(at * 1e9)))
        fault = product.fault
    except ValueError as error:
        tick, fault = None, str(error)
    if fault:
        faults.add(message.product_id, at, fault)
        product.discard_book()
    elif tick is not None:
        yield at, parse(message.product_id), tick


class _Faults:
    """What was wrong with single messages of a recording, by symbol. They were passed over."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, symbol: str, at: float, why: str) -> None:
        self._counts[symbol] += 1
        self._first.setdefault(symbol, f"at time {at}: {why}")

    def report(self) -> None:
        """Log the symbols with the most faults, and the first fault of each."""
        for symbol, number in self._counts.most_common(_MAX_REPORTED):
            faults = f"{plural(number, 'faulty message')} of {symbol}"
            log.warning("%s: passed over %s, the first %s", self._path, faults, self._first[symbol])
        if (more := len(self._counts) - _MAX_REPORTED) > 0:
            log.warning("%s: and of %s", self._path, plural(more, "other symbol"))
