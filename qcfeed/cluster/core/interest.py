"""Which symbols a feeder must run, from two views that must agree before one stops.

Gateways answer every announcement of the owner with the symbols that they want. A symbol that is new in an answer
starts at once, because a new owner begins without symbols. A symbol that no answer lists may still be wanted by a
gateway whose answer is late, so the feeder asks NATS: it publishes an empty message on the symbol's subject with a
reply subject. "No responders" confirms that nobody is subscribed. Only both together end the symbol's demand, and its
feed then lingers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from qcfeed.model.symbol import Symbol


@dataclass(slots=True)
class Interest:
    """The wanted symbols of one owner."""

    wanted: set[Symbol] = field(default_factory=set)
    gateways: int = 0
    """Gateways that answered in the last round."""
    _listed: set[Symbol] = field(default_factory=set)
    _answers: set[str] = field(default_factory=set)
    _doubtful: set[Symbol] = field(default_factory=set)
    _round_open: bool = False

    def begin(self) -> None:
        """A new round: gateways are asked."""
        self._listed, self._answers = set(), set()
        self._round_open = True

    def listed(self, gateway: str, symbols: Iterable[Symbol]) -> set[Symbol]:
        """A gateway's answer; the symbols to start, which count as wanted from now on.

        Each at most once in a round: one that the upstream refuses is listed by every gateway that wants it.
        """
        named = set(symbols)
        start = named - self.wanted - self._listed
        self._answers.add(gateway)
        self._listed |= named
        self.wanted |= start
        return start

    def requested(self, symbol: Symbol) -> bool:
        """A gateway requests a symbol; True if it does not run yet."""
        self._listed.add(symbol)
        self._doubtful.discard(symbol)
        new = symbol not in self.wanted
        self.wanted.add(symbol)
        return new

    def end(self) -> set[Symbol]:
        """The round is over; the symbols that run and that no gateway listed: ask NATS about each."""
        if not self._round_open:
            return set()
        self._round_open = False
        self.gateways = len(self._answers)
        self._doubtful = self.wanted - self._listed
        return set(self._doubtful)

    @property
    def unlisted(self) -> set[Symbol]:
        """Symbols that no gateway listed in the last round, and that NATS knows subscribers of."""
        return self._doubtful - self._listed

    def no_responders(self, symbol: Symbol) -> bool:
        """NATS reports that nobody is subscribed to ``symbol``; True if that ends its demand."""
        if symbol not in self._doubtful or symbol in self._listed:
            return False
        self._doubtful.discard(symbol)
        self.wanted.discard(symbol)
        return True

    def clear(self) -> None:
        """This feeder is no longer the owner."""
        self.wanted.clear()
        self._doubtful.clear()
        self._round_open = False
        self.gateways = 0
