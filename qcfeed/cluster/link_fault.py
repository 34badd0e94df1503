"""What a drill does to a gateway's link to NATS."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from qcfeed.cluster.core import envelope
from qcfeed.cluster.core.envelope import Epoch, PublishedQuote
from qcfeed.model.link_faults import LinkFault
from qcfeed.model.symbol import Symbol

SLOW_PAUSE = 1.0
"""Seconds between two reads of a slow gateway."""
SLOW_BATCH = 1
"""Quotes beyond which it counts as behind."""
_FORMER = Epoch(1, 1)
"""An epoch below that of any owner."""


class Link:
    """The link's faults: none, unless a drill has set one."""

    def __init__(self, most: int) -> None:
        """``most``: quotes of one symbol that may wait before only the newest is served."""
        self._most = most
        self._leaked: set[Symbol] = set()
        self.fault = LinkFault.NONE

    @property
    def broken(self) -> bool:
        return self.fault is LinkFault.BROKER_AWAY

    @property
    def deaf(self) -> bool:
        """Whether announcements of owners are ignored."""
        return self.fault is LinkFault.OWNERS_SILENT

    @property
    def most(self) -> int:
        return SLOW_BATCH if self.fault is LinkFault.SLOW else self._most

    def to_leak(self, running: Iterable[Symbol]) -> list[Symbol]:
        """Symbols for which a subscription must be leaked now, each once."""
        if self.fault is not LinkFault.LEAKED_INTEREST:
            self._leaked.clear()
            return []
        new = [symbol for symbol in running if symbol not in self._leaked]
        self._leaked.update(new)
        return new

    async def before_reading(self) -> None:
        if self.fault is LinkFault.SLOW:
            await asyncio.sleep(SLOW_PAUSE)

    def arriving(self, batch: Sequence[bytes]) -> Sequence[bytes]:
        """The messages that arrive in place of ``batch``."""
        if self.fault is LinkFault.OWNERS_SILENT:
            return ()
        if self.fault is LinkFault.FORMER_OWNER:
            return [*batch, *map(_of_former_owner, filter(None, batch))]
        return batch


def _of_former_owner(message: bytes) -> bytes:
    return envelope.pack(PublishedQuote(_FORMER, 1, envelope.text(message)))
