"""What a gateway lets through: epochs only rise, and within one the sequence numbers rise.

Two owners are thus never both visible: after the first quote or announcement of a new owner, nothing
of the one before it passes.
"""

from __future__ import annotations

from qcfeed.cluster.core.envelope import Epoch, PublishedQuote
from qcfeed.cluster.core.shares import Share
from qcfeed.model.symbol import Symbol


class OwnerEpochs:
    """The highest lease revision known of each share; a gateway has one, for all its symbols."""

    def __init__(self) -> None:
        self._highest: dict[Share, int] = {}
        self.changes = 0
        """How often a revision has risen; while it stays the same, so do all floors."""

    def raise_to(self, share: Share, revision: int) -> None:
        """An owner of ``share`` announced itself, or one of its quotes arrived."""
        if revision > self._highest.get(share, 0):
            self._highest[share] = revision
            self.changes += 1

    def of(self, share: Share) -> int:
        """The highest revision known of ``share``; 0 if none is."""
        return self._highest.get(share, 0)

    def floor(self, symbol: Symbol) -> int:
        """The lowest revision that may still publish ``symbol``."""
        return max((r for share, r in self._highest.items() if share.owns(symbol)), default=0)

    @property
    def highest(self) -> int:
        """The highest revision over all shares; 0 if none is known."""
        return max(self._highest.values(), default=0)


class QuoteOrder:
    """The order of one symbol's quotes at one gateway."""

    __slots__ = ("_changes", "_floor", "_owners", "_symbol", "epoch", "rejected", "seq")

    def __init__(self, symbol: Symbol, owners: OwnerEpochs) -> None:
        self._symbol = symbol
        self._owners = owners
        self._changes = -1
        self._floor = 0
        self.epoch = Epoch(0, 0)
        self.seq = 0
        self.rejected = 0
        """Quotes dropped because their epoch was lower than one already seen."""

    def accept(self, quote: PublishedQuote) -> int | None:
        """How many quotes are missing before ``quote``; None if it must be dropped."""
        if quote.epoch < self.epoch or quote.epoch.revision < self.floor:
            self.rejected += 1
            return None
        if quote.epoch == self.epoch:
            missing = quote.seq - self.seq - 1
            if missing < 0:  # a repeat: the reply to a request, which the subscription overtook
                return None
        else:
            # Of a new epoch only what follows its first quote can be missing.
            missing = 0
            self.epoch = quote.epoch
        self.seq = quote.seq
        return missing

    @property
    def floor(self) -> int:
        """The lowest revision that may still publish the symbol."""
        if self._changes != self._owners.changes:
            self._changes = self._owners.changes
            self._floor = self._owners.floor(self._symbol)
        return self._floor
