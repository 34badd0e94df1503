from __future__ import annotations

import pytest

from qcfeed.feed.staleness import Staleness, StalenessThresholds
from qcfeed.model.messages import Band, StaleReason


@pytest.mark.parametrize(
    ("age", "band"),
    [
        (0, Band.LIVE), (14.9, Band.LIVE), (15, Band.STALE), (299, Band.STALE),
        (300, Band.VERY_STALE), (1199, Band.VERY_STALE), (1200, Band.DEAD), (1e9, Band.DEAD),
    ],
)  # fmt: skip
def test_the_incidents_bands(age: float, band: Band) -> None:
    assert StalenessThresholds().band(age) is band


def test_a_silent_symbol_goes_through_every_band_and_comes_back() -> None:
    symbol = Staleness(StalenessThresholds(), now=0.0)
    seen = []
    while (due := symbol.deadline) is not None:
        assert symbol.tick(due, upstream_up=True, late=0.0)
        seen.append((due, symbol.band, symbol.reason))
    silent = StaleReason.UPSTREAM_SILENT
    assert seen == [
        (15, Band.STALE, silent), (300, Band.VERY_STALE, silent), (1200, Band.DEAD, silent)
    ]  # fmt: skip
    assert symbol.update(1300.0)
    assert (symbol.band, symbol.reason, symbol.deadline) == (Band.LIVE, None, 1315.0)
    assert not symbol.update(1301.0), "already live"


def test_an_early_tick_changes_nothing() -> None:
    symbol = Staleness(StalenessThresholds(), now=0.0)
    symbol.update(10.0)
    assert not symbol.tick(15.0, upstream_up=True, late=0.0)


@pytest.mark.parametrize(
    ("up", "late", "cause"),
    [
        (True, 0.0, StaleReason.UPSTREAM_SILENT),
        (False, 0.0, StaleReason.UPSTREAM_DOWN),
        (True, 3.0, StaleReason.OWN_LAG),
        (False, 3.0, StaleReason.OWN_LAG),
    ],
)
def test_the_reason_for_staleness(up: bool, late: float, cause: StaleReason) -> None:
    symbol = Staleness(StalenessThresholds(), now=0.0)
    symbol.tick(20.0, upstream_up=up, late=late)
    assert symbol.reason is cause
