"""How old a symbol's last quote is, in bands, and why."""

from __future__ import annotations

from dataclasses import dataclass

from qcfeed.model.messages import Band, Cause

LATE = 1.0
"""Seconds by which our own clock may be late before we blame ourselves for a silence."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Ages in seconds from which a symbol is stale, very stale, dead (the incident's bands)."""

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
        """The age at which ``band`` ends; None for the last."""
        return {
            Band.LIVE: self.stale,
            Band.STALE: self.very_stale,
            Band.VERY_STALE: self.dead,
        }.get(band)


class Staleness:
    """One symbol's age. A quote is heard when it reaches us, whatever time it bears.

    A symbol without any quote yet counts from when it was first wanted.
    """

    __slots__ = ("_thresholds", "band", "cause", "heard_at")

    def __init__(self, thresholds: Thresholds, now: float) -> None:
        self._thresholds = thresholds
        self.heard_at = now
        self.band = Band.LIVE
        self.cause: Cause | None = None

    @property
    def deadline(self) -> float | None:
        """When the band changes if nothing is heard; None once dead."""
        age = self._thresholds.next_age(self.band)
        return None if age is None else self.heard_at + age

    def hear(self, now: float) -> bool:
        """A quote came; whether that brought the symbol back to life."""
        self.heard_at = now
        if self.band is Band.LIVE:
            return False
        self.band = Band.LIVE
        self.cause = None
        return True

    def tick(self, now: float, *, upstream_up: bool, late: float) -> bool:
        """Time has passed; whether the band is another now.

        ``late`` is by how many seconds this tick itself came too late: a service that did not run
        cannot say that its upstream was silent.
        """
        band = self._thresholds.band(now - self.heard_at)
        if band is self.band:
            return False
        self.band = band
        if late > LATE:
            self.cause = Cause.OWN_LAG
        else:
            self.cause = Cause.UPSTREAM_SILENT if upstream_up else Cause.UPSTREAM_DOWN
        return True
