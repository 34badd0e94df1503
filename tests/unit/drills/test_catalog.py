"""Drills are requested by name, with an optional number."""

from __future__ import annotations

import pytest

from qcfeed.drills import catalog
from qcfeed.drills.faults import FAULTS
from qcfeed.errors import UsageError
from qcfeed.metrics.catalog.alerts import ALERTS


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("zombie-feeds", 0),
        ("zombie-feeds=0", 0),
        ("zombie-feeds=47829", 47_829),
        ("stuck-loop", 2),
        ("silent-upstream", 0),
        ("clock-jump=-3600", -3_600),
    ],
)
def test_the_drill_and_its_number(text: str, number: int) -> None:
    assert catalog.parse(text).number == number


@pytest.mark.parametrize("spec", catalog.DRILLS, ids=lambda spec: spec.name)
def test_a_drill_s_text_parses_to_the_same_drill(spec: catalog.DrillSpec) -> None:
    assert str(catalog.parse(spec.name)) == spec.name
    if spec.number is not None:
        text = f"{spec.name}={spec.maximum:.0f}"
        assert str(catalog.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("", "there is no drill ''", "qcfeed drill list"),
        ("zombies", "there is no drill 'zombies'", "did you mean zombie-feeds?"),
        ("zombie-feeds=", "from 0 to 1,000,000", "zombie-feeds=N"),
        ("zombie-feeds=x", "zombies to create at once", "zombie-feeds=N"),
        ("zombie-feeds=-1", "zombies to create at once", "zombie-feeds=N"),
        ("zombie-feeds=1e3", "zombies to create at once", "zombie-feeds=N"),
        ("zombie-feeds=1000001", "zombies to create at once", "zombie-feeds=N"),
        ("stuck-loop=31", "from 1 to 30", "stuck-loop=N"),
        ("silent-upstream=3", "takes no number", "use silent-upstream"),
    ],
)
def test_invalid_drills_are_refused(text: str, said: str, hint: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        catalog.parse(text)
    assert hint in (error.value.hint or "")


def test_every_drill_has_a_fault() -> None:
    assert list(FAULTS) == [spec.name for spec in catalog.DRILLS]


def test_every_alert_has_a_drill_and_no_drill_an_unknown_alert() -> None:
    made = {alert for spec in catalog.DRILLS for alert in spec.alerts}
    assert made == {alert.name for alert in ALERTS}


def test_only_clock_jump_lasts_long_enough_for_the_alert_about_forgotten_drills() -> None:
    lasting = [spec.name for spec in catalog.DRILLS if spec.duration > 3_600]
    assert lasting == ["clock-jump"]
    assert all(spec.duration > 0 for spec in catalog.DRILLS)
    assert all(spec.shows.startswith("qcfeed ") for spec in catalog.DRILLS)
