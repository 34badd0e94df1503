"""Quotes that another service has encoded already, and the marks that are added to their text."""

from __future__ import annotations

from typing import NamedTuple


class EncodedQuote(NamedTuple):
    """A quote's JSON text, as ``messages.encode`` wrote it, without ``conflated`` and ``dropped``.

    ``conflated`` and ``dropped``: the quotes just before it that the upstream skipped or lost.
    """

    text: bytes
    conflated: int = 0
    dropped: int = 0

    @property
    def skipped(self) -> int:
        """The quotes before it that are not sent."""
        return self.conflated + self.dropped

    def marked(self) -> bytes:
        """The text with its marks, exactly as ``messages.encode`` writes them; nothing is decoded."""
        if not self.skipped:
            return self.text
        conflated = b',"conflated":%d' % self.conflated if self.conflated else b""
        dropped = b',"dropped":%d' % self.dropped if self.dropped else b""
        return b"%b%b%b}" % (self.text[:-1], conflated, dropped)
