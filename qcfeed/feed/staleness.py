"""The age of a symbol's last quote, in bands, and the reason when it is not live."""

from __future__ import annotations

from dataclasses import dataclass

from qcfeed.model.messages import Band, StaleReason

OWN_LAG_LIMIT = 1.0
"""Seconds a tick may be late before the service blames itself, not the upstream, for the silence."""


@dataclass(frozen=True, slots=True)
class StalenessThresholds:
    """Ages in seconds from which a symbol is stale, very stale or dead."""

    stale: float = 15.0
    very_stale: float = 300.0
    dead: float = 1200.0

    def band(self, age: float) -> Band:
        """The band of a quote that is ``age`` seconds old."""
        if age < self.stale:
            return Band.LIVE
        if age < self.very_stale:
            return Band.STALE
        return Band.VERY_STALE if age < self.dead else Band.DEAD

    def next_age(self, band: Band) -> float | None:
        """The age in seconds at which ``band`` ends; None for the last band."""
        return {
            Band.LIVE: self.stale,
            Band.STALE: self.very_stale,
            Band.VERY_STALE: self.dead,
        }.get(band)


class Staleness:
    """The staleness of one symbol, measured from when its last quote arrived, not from its timestamp.

    Before the first quote the age counts from the first demand.
    """

    __slots__ = ("_thresholds", "band", "reason", "updated_at")

    def __init__(self, thresholds: StalenessThresholds, now: float) -> None:
        self._thresholds = thresholds
        self.updated_at = now
        self.band = Band.LIVE
        self.reason: StaleReason | None = None

    @property
    def deadline(self) -> float | None:
        """When the band changes if no quote arrives; None once the symbol is dead."""
        age = self._thresholds.next_age(self.band)
        return None if age is None else self.updated_at + age

    def update(self, now: float) -> bool:
        """A quote arrived; True if the symbol was not live before."""
        self.updated_at = now
        if self.band is Band.LIVE:
            return False
        self.band = Band.LIVE
        self.reason = None
        return True

    def tick(self, now: float, *, upstream_up: bool, late: float) -> bool:
        """Re-evaluate the band at ``now``; True if it changed.

        ``late``: seconds by which this tick itself is late. A service that did not run cannot claim
        that its upstream was silent.
        """
        band = self._thresholds.band(now - self.updated_at)
        if band is self.band:
            return False
        self.band = band
        if late > OWN_LAG_LIMIT:
            self.reason = StaleReason.OWN_LAG
        else:
            self.reason = StaleReason.UPSTREAM_SILENT if upstream_up else StaleReason.UPSTREAM_DOWN
        return True
