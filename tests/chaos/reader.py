"""What one client may receive, by docs/reference/protocol.md: order of quotes and statuses, sequence numbers, symbols."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

LIVE = "live"


@dataclass(slots=True)
class Seen:
    """What the client knows of one symbol."""

    epoch: str = ""
    seq: int = 0
    state: str = LIVE
    quotes: int = 0


@dataclass(slots=True)
class Reader:
    """Checks each message. Raises AssertionError for one that the protocol rules out."""

    seen: dict[str, Seen] = field(default_factory=dict)
    """By symbol, from its subscription to its end."""

    def begin(self, *symbols: str) -> None:
        """The client asks for these symbols."""
        for symbol in symbols:
            self.seen.setdefault(symbol, Seen())

    def end(self, *symbols: str) -> None:
        """The service has confirmed that these symbols are no longer subscribed."""
        for symbol in symbols:
            self.seen.pop(symbol, None)

    def take(self, message: dict[str, Any]) -> None:
        if message["type"] == "quote":
            self._quote(message)
        elif message["type"] == "status":
            self._of(message).state = message["state"]

    def _of(self, message: dict[str, Any]) -> Seen:
        seen = self.seen.get(message["symbol"])
        assert seen is not None, f"not subscribed: {message}"
        return seen

    def _quote(self, quote: dict[str, Any]) -> None:
        seen = self._of(quote)
        skipped = quote.get("conflated", 0) + quote.get("dropped", 0)
        if quote["epoch"] == seen.epoch:
            # A quote that stands for skipped ones says for how many; no other number is left out.
            assert quote["seq"] == seen.seq + 1 + skipped, f"after {seen.seq}: {quote}"
            assert seen.state == LIVE, f"a quote while {seen.state}: {quote}"
        seen.epoch, seen.seq, seen.quotes = quote["epoch"], quote["seq"], seen.quotes + 1
        seen.state = LIVE
