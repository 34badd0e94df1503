"""Decides which quotes a gateway accepts: epochs only rise, and within an epoch the sequence numbers rise.

Two owners are thus never both visible: after the first quote or announcement of a new owner, nothing
of the one before it passes.
"""

from __future__ import annotations

from qcfeed.cluster.core.envelope import Epoch, PublishedQuote
from qcfeed.cluster.core.shares import Share
from qcfeed.model.symbol import Symbol


class OwnerEpochs:
    """The highest lease revisions known; a gateway has one, for all its symbols."""

    def __init__(self) -> None:
        self._highest: dict[Share, int] = {}
        # Kept per symbol: a quote does not name its owner's share, and may overtake the announcement.
        self._seen: dict[Symbol, int] = {}
        self.changes = 0
        """How often a revision has risen; while it stays the same, so do all floors."""

    def raise_to(self, share: Share, revision: int) -> None:
        """An owner of ``share`` announced itself."""
        if revision > self._highest.get(share, 0):
            self._highest[share] = revision
            self.changes += 1

    def saw(self, symbol: Symbol, revision: int) -> None:
        """A quote of ``symbol`` was accepted, the first one of its epoch."""
        self._seen[symbol] = max(revision, self._seen.get(symbol, 0))

    def of(self, share: Share) -> int:
        """The lowest revision that may still own ``share``; 0 if none is known.

        Where the number of shares was changed, owners of former shares count for the symbols they had.
        """
        announced = (r for each, r in self._highest.items() if each.overlaps(share))
        seen = (r for symbol, r in self._seen.items() if share.owns(symbol))
        return max((0, *announced, *seen))

    def floor(self, symbol: Symbol) -> int:
        """The lowest revision that may still publish ``symbol``."""
        announced = (r for share, r in self._highest.items() if share.owns(symbol))
        return max((self._seen.get(symbol, 0), *announced))

    @property
    def highest(self) -> int:
        """The highest revision over all shares and symbols; 0 if none is known."""
        return max((0, *self._highest.values(), *self._seen.values()))


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
            # A new epoch may begin with any sequence number, so nothing is missing before its first quote.
            missing = 0
            self.epoch = quote.epoch
            self._owners.saw(self._symbol, quote.epoch.revision)
        self.seq = quote.seq
        return missing

    @property
    def floor(self) -> int:
        """The lowest revision that may still publish the symbol."""
        if self._changes != self._owners.changes:
            self._changes = self._owners.changes
            self._floor = self._owners.floor(self._symbol)
        return self._floor
