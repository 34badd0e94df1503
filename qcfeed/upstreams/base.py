"""The interface that every upstream implements. docs/how-to/upstreams.md has an example.

The hub runs one task per feed: ``await upstream.run(symbol, sink)``. The coroutine calls
``sink.opened()`` once quotes can be expected, publishes ticks as they arrive, and runs until it is
cancelled or the upstream fails (UpstreamError). Returning means that the upstream has ended by itself.
What feeds share, such as a connection, is opened on the first demand and closed after the last.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from qcfeed.model.encoded import EncodedQuote
from qcfeed.model.messages import Tick
from qcfeed.model.symbol import Symbol


class Sink(Protocol):
    """Receives one feed's ticks. Call its methods in the service's loop, while ``run`` runs."""

    def opened(self) -> None:
        """Quotes can be expected from now on. Call it once per run, before the first ``publish``."""

    def publish(self, ticks: Sequence[Tick]) -> None:
        """Publish ticks, oldest first; pass all that are due at once in one call. Never blocks."""

    def relay(self, quotes: Sequence[EncodedQuote], epoch: str) -> None:
        """Publish quotes that have their ``seq`` and ``epoch`` already, and are encoded. Never blocks.

        A feed gets either ticks or encoded quotes. ``epoch`` is that of all of these quotes.
        """

    async def ready(self) -> None:
        """Wait until the subscribers have accepted what was published (for `rate=max`)."""


@dataclass(frozen=True, slots=True)
class UpstreamHealth:
    """The state of the connection that an upstream's feeds share; the counters are since the start.

    ``gaps``: how often an update was found to be missing. ``invalid_messages``: those that could not be
    decoded or had an invalid value.
    """

    connected: bool
    reconnects: int = 0
    gaps: int = 0
    invalid_messages: int = 0
    detail: str = ""


class Upstream(Protocol):
    """A source of quotes for any number of symbols. Derived classes need ``name`` and ``run`` only."""

    name: str
    """The scheme and the relevant part of the URL, without secrets; for status and logs."""

    def knows(self, symbol: Symbol) -> bool:  # noqa: ARG002 - derived classes use it
        """Whether the symbol exists; True if that cannot be known without asking the upstream.

        Called for each new subscription, in the service's loop: it must not block.
        """
        return True

    def lists(self, symbol: Symbol) -> bool:
        """Whether the symbol is sure to exist; False if only the upstream itself can say.

        A client may open only so many feeds per second of symbols that are not listed.
        """
        return self.knows(symbol)

    def symbols(self) -> Sequence[Symbol]:
        """All symbols, if they are known without asking the upstream; else empty."""
        return ()

    @abstractmethod
    async def run(self, symbol: Symbol, sink: Sink) -> None:
        """Run one feed (see the module's docstring). A symbol has one run at a time.

        Raises UpstreamError when the upstream fails, after which the feed backs off and retries, and
        UnknownSymbolError when the upstream refuses the symbol, which closes its subscribers.
        Cancellation ends it: it cleans up, joins its own tasks, and lets CancelledError pass.
        """

    def health(self) -> UpstreamHealth:
        """The current health; callable from any thread. Never blocks."""
        return UpstreamHealth(connected=True)

    async def close(self) -> None:
        """Close what feeds share. When this returns, all of the upstream's own tasks are joined."""
        return  # a body, so that derived classes need none
