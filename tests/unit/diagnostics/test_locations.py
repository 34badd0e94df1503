from __future__ import annotations

import shlex

import pytest

from qcfeed.diagnostics.locations import (
    application_line,
    creator,
    named_places,
    places,
    site_option,
)

THROUGH_A_LIBRARY = "ccxt/future.py:20 < app/bot.py:88"


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ("feed.py:77", True),
        ("server/feed.py:77", True),
        ("qcfeed/server/feed.py:77", True),
        ("qcfeed/server/feed.py", True),
        ("feed.py:7", False),
        ("eed.py:77", False),
        ("my/service/feed.py:77", False),
        (":77", False),
    ],
)
def test_a_place_is_named_from_its_right_end(wanted: str, named: bool) -> None:
    location = "qcfeed/server/feed.py:77"
    assert named_places(location, wanted) == ([location] if named else [])


@pytest.mark.parametrize("location", ["<string>:1", "other"])
def test_unusual_locations(location: str) -> None:
    assert named_places(location, location) == [location]
    assert creator(location) == application_line(location) == location


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ("future.py:20", ["ccxt/future.py:20"]),
        ("bot.py", ["app/bot.py:88"]),
        ("bot.py:20", []),
        (THROUGH_A_LIBRARY, [THROUGH_A_LIBRARY]),
        ("future.py:20 < app/bot.py:88", [THROUGH_A_LIBRARY]),
        ("future.py:20 < app/bot.py:89", []),
    ],
)
def test_either_place_names_a_location_of_two(wanted: str, named: list[str]) -> None:
    assert places(THROUGH_A_LIBRARY) == ["ccxt/future.py:20", "app/bot.py:88"]
    assert creator(THROUGH_A_LIBRARY) == "ccxt/future.py:20"
    assert application_line(THROUGH_A_LIBRARY) == "app/bot.py:88"
    assert named_places(THROUGH_A_LIBRARY, wanted) == named


@pytest.mark.parametrize("location", ["app/bot.py:88", THROUGH_A_LIBRARY, "<string>:1"])
def test_a_shell_takes_a_location_as_one_word(location: str) -> None:
    assert shlex.split(site_option(location)) == ["--site", location]


def test_a_usual_location_is_not_quoted() -> None:
    assert site_option("app/bot.py:88") == "--site app/bot.py:88"
