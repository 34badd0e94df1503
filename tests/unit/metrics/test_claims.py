from __future__ import annotations

import pytest

from qcfeed.metrics import claims, growth
from qcfeed.metrics.claims import Claim
from qcfeed.metrics.growth import Point
from tests.support import incident


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("Memory Growth Rate: +450 MB/hour", 450e6),
        ("1.5 GiB per hour", 1.5 * (1 << 30)),
        ("grows by 10 kB a second", 36e6),
        ("-2MB/min", -120e6),
        ("1,000 bytes/h", 1_000.0),
        ("24 GB/day", 1e9),
        ("Memory Usage: 14.2 GB / 16 GB", None),
        ("450 MB", None),
        ("{{ $value | humanize }}B/hour", None),
    ],
)
def test_a_rate_is_read_from_a_sentence(text: str, rate: float | None) -> None:
    found = claims.rate(text)
    assert found == (None if rate is None else pytest.approx(rate))


def test_an_alert_claims_the_first_rate_that_it_names() -> None:
    texts = ["too much memory", "Usage: 14 GB\nGrowth: +450 MB/hour\nalso 1 GB/h"]
    assert claims.claims("Memory", texts) == [Claim("Memory", "Growth: +450 MB/hour", 450e6)]
    assert claims.claims("Memory", ["nothing"]) == []


def answered(points: list[Point], rate: float, limit: float | None = None) -> claims.CheckedClaim:
    found = growth.windows(points, points[-1].at if points else 0.0, limit)
    return claims.check(Claim("", "", rate), points, found, limit)


def test_no_window_of_the_incident_has_the_rate_of_its_alert() -> None:
    told = answered(incident.points(), incident.ALERT_SAID, incident.LIMIT)
    assert told.averaged_s is None
    assert told.slower == pytest.approx(28 * incident.GB / 450e6, rel=1e-3)
    assert told.time_to_limit_s == pytest.approx(1.8 * incident.GB / 450e6 * 3_600, rel=1e-3)
    assert "no window has this rate; it would be the average over 1d04h" in told.why


def test_with_a_flat_day_before_the_average_is_found() -> None:
    day = [Point(incident.BEGAN - n * 60, 2.1 * incident.GB) for n in range(2_000, 0, -1)]
    told = answered([*day, *incident.points()], incident.ALERT_SAID, incident.LIMIT)
    assert told.averaged_s == pytest.approx(12.1 * incident.GB / 450e6 * 3_600, rel=0.01)
    assert told.why == "it is the average rate over the last 1d04h"


def test_a_claim_that_a_window_agrees_with_has_its_source() -> None:
    points = [Point(n * 15.0, n * 15.0) for n in range(241)]
    assert answered(points, 3_600.0, 1e6).why == "it is the rate of the window 5m"
    assert answered(points, 3_600.0, 1e6).slower == pytest.approx(1.0)


def test_without_samples_or_growth_a_claim_cannot_be_checked() -> None:
    assert "no samples to compare" in answered([], 1.0).why
    assert answered([], 1.0).time_to_limit_s is None
    falling = [Point(n * 15.0, 1e9 - n) for n in range(241)]
    told = answered(falling, 1e9, 2e9)
    assert told.slower is None
    assert "average rate over the last" in told.why
