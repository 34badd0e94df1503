from __future__ import annotations

import pytest

from qcfeed.feed.staleness import Staleness, Thresholds
from qcfeed.model.messages import Band, Cause


@pytest.mark.parametrize(
    ("age", "band"),
    [
        (0, Band.LIVE), (14.9, Band.LIVE), (15, Band.STALE), (299, Band.STALE),
        (300, Band.VERY_STALE), (1199, Band.VERY_STALE), (1200, Band.DEAD), (1e9, Band.DEAD),
    ],
)  # fmt: skip
def test_the_incidents_bands(age: float, band: Band) -> None:
    assert Thresholds().band(age) is band


def test_a_silent_symbol_goes_through_every_band_and_comes_back() -> None:
    symbol = Staleness(Thresholds(), now=0.0)
    seen = []
    while (due := symbol.deadline) is not None:
        assert symbol.tick(due, upstream_up=True, late=0.0)
        seen.append((due, symbol.band, symbol.cause))
    silent = Cause.UPSTREAM_SILENT
    assert seen == [
        (15, Band.STALE, silent), (300, Band.VERY_STALE, silent), (1200, Band.DEAD, silent)
    ]  # fmt: skip
    assert symbol.hear(1300.0)
    assert (symbol.band, symbol.cause, symbol.deadline) == (Band.LIVE, None, 1315.0)
    assert not symbol.hear(1301.0), "already live"


def test_a_tick_too_early_changes_nothing() -> None:
    symbol = Staleness(Thresholds(), now=0.0)
    symbol.hear(10.0)
    assert not symbol.tick(15.0, upstream_up=True, late=0.0)


@pytest.mark.parametrize(
    ("up", "late", "cause"),
    [
        (True, 0.0, Cause.UPSTREAM_SILENT),
        (False, 0.0, Cause.UPSTREAM_DOWN),
        (True, 3.0, Cause.OWN_LAG),
        (False, 3.0, Cause.OWN_LAG),
    ],
)
def test_who_is_to_blame(up: bool, late: float, cause: Cause) -> None:
    symbol = Staleness(Thresholds(), now=0.0)
    symbol.tick(20.0, upstream_up=up, late=late)
    assert symbol.cause is cause
