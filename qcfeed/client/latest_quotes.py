"""The latest quote and state of each watched symbol. No I/O; time is an argument."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qcfeed.client.gaps import Gap, Repeat
from qcfeed.client.stream import Connected, Disconnected, Received, StreamEvent
from qcfeed.feed.staleness import StalenessThresholds
from qcfeed.model.messages import Band, Quote, Status
from qcfeed.model.symbol import Symbol

CONNECTING = "connecting"
WAITING = "waiting"
LIVE = "live"
DISCONNECTED = "disconnected"


_NOT_LIVE = frozenset((Band.STALE, Band.VERY_STALE, Band.DEAD))


_LIMITS = StalenessThresholds()


@dataclass(frozen=True, slots=True)
class SymbolState:
    """One symbol. ``age_s``: seconds since its last quote, None before the first.

    ``state``: a staleness band (of a server that has fallen silent, by the default limits), or ``connecting``, ``waiting`` (for the first quote) or
    ``disconnected``. ``gaps`` counts gaps in ``seq``, ``missed`` the quotes lost in them.
    """

    symbol: Symbol
    quote: Quote | None
    age_s: float | None
    state: str
    gaps: int
    missed: int


@dataclass(slots=True)
class _Entry:
    state: str = CONNECTING
    quote: Quote | None = None
    quoted_at: float | None = None
    gaps: int = 0
    missed: int = 0


def _state(entry: _Entry, now: float) -> str:
    """The state that was told last; but a server that has stopped says nothing, so age counts too."""
    if entry.state != LIVE or entry.quoted_at is None:
        return entry.state
    return _LIMITS.band(now - entry.quoted_at)


class LatestQuotes:
    """The latest quote of every symbol, in the order in which the symbols were given."""

    def __init__(self, symbols: Iterable[Symbol]) -> None:
        self._entries: dict[str, _Entry] = {symbol: _Entry() for symbol in symbols}

    def apply(self, event: StreamEvent, now: float) -> None:
        """Apply an event that happened at ``now`` (seconds of any monotonic clock)."""
        match event:
            case Received(message=Quote() as quote):
                self._quoted(quote, now)
            case Received(message=Status() as status):
                if entry := self._entries.get(status.symbol):
                    entry.state = status.state
                    entry.quoted_at = now - status.age_ms / 1000
            case Gap():
                if entry := self._entries.get(event.symbol):
                    entry.gaps += 1
                    entry.missed += event.missed
            case Connected():
                self._all(WAITING)
            case Disconnected():
                self._all(DISCONNECTED)
            case Received() | Repeat():
                pass

    def states(self, now: float) -> Sequence[SymbolState]:
        return [
            SymbolState(
                Symbol(symbol),
                entry.quote,
                None if entry.quoted_at is None else max(0.0, now - entry.quoted_at),
                _state(entry, now),
                entry.gaps,
                entry.missed,
            )
            for symbol, entry in self._entries.items()
        ]

    def _quoted(self, quote: Quote, now: float) -> None:
        """Symbols that were not asked for are not stored: a server could name any number of them."""
        entry = self._entries.get(quote.symbol)
        if entry is None or _is_older(quote, entry.quote):
            return
        # A symbol that is not live gets the status ``live`` before its next quote. So a quote of the
        # same epoch without it was on its way when the status came.
        if entry.state not in _NOT_LIVE or _is_new_epoch(quote, entry.quote):
            entry.state, entry.quoted_at = LIVE, now
        entry.quote = quote

    def _all(self, state: str) -> None:
        for entry in self._entries.values():
            entry.state = state


def _is_new_epoch(quote: Quote, latest: Quote | None) -> bool:
    return latest is not None and quote.epoch != latest.epoch


def _is_older(quote: Quote, latest: Quote | None) -> bool:
    return latest is not None and quote.epoch == latest.epoch and quote.seq < latest.seq
