"""The one protocol of every upstream.

The hub runs one task a feed: ``await upstream.run(symbol, sink)``. The coroutine says
``sink.opened()`` once quotes can be expected, hands over ticks as they come, and lives until it is
cancelled or the upstream fails (UpstreamError). Returning means the upstream has ended by itself.
What feeds share (a connection, a file) an upstream opens under demand and closes without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from qcfeed.model.messages import Tick
from qcfeed.model.symbol import Symbol


class Sink(Protocol):
    """Where one feed's ticks go. Every call is made in the service's loop."""

    def opened(self) -> None:
        """Quotes can be expected from now on."""

    def publish(self, ticks: Sequence[Tick]) -> None:
        """Hand over ticks, oldest first; all that are due at once, in one call. Never blocks."""

    async def ready(self) -> None:
        """Wait until the subscribers have taken what was published (for `rate=max`)."""


@dataclass(frozen=True, slots=True)
class UpstreamHealth:
    """The state of what an upstream's feeds share, since the start."""

    connected: bool
    reconnects: int = 0
    gaps: int = 0
    detail: str = ""


class Upstream(Protocol):
    """A source of quotes for any number of symbols."""

    name: str
    """The scheme and what matters of the URL, without secrets; for status and logs."""

    def knows(self, symbol: Symbol) -> bool:
        """Whether the symbol exists, as far as can be told without asking; else True."""

    def symbols(self) -> Sequence[Symbol]:
        """The universe, where it is known without asking; else empty."""

    async def run(self, symbol: Symbol, sink: Sink) -> None:
        """One feed's life, as the module's docstring says.

        Raises UpstreamError when the upstream fails (the feed backs off and retries), and
        UnknownSymbolError when it says that it has no such symbol (the feed is refused).
        """

    def health(self) -> UpstreamHealth:
        """What is shared by all feeds, now; callable from any thread."""

    async def close(self) -> None:
        """Give back what is shared; every task of its own is joined when this returns."""
