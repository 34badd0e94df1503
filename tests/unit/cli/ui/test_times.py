from __future__ import annotations

from datetime import UTC, datetime

import pytest
import typer

from qcfeed.cli.ui import sizes, times

NOW = datetime(2024, 3, 20, 2, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("02:15", "2024-03-20T02:15:00+00:00"),
        ("2:15", "2024-03-20T02:15:00+00:00"),
        ("02:15z", "2024-03-20T02:15:00+00:00"),
        ("02:15:30", "2024-03-20T02:15:30+00:00"),
        ("02:30", "2024-03-20T02:30:00+00:00"),
        ("02:31", "2024-03-19T02:31:00+00:00"),
        ("23:00", "2024-03-19T23:00:00+00:00"),
        ("03:15+01:00", "2024-03-20T02:15:00+00:00"),
        ("23:00-05:00", "2024-03-19T04:00:00+00:00"),
        ("2024-03-20T02:15", "2024-03-20T02:15:00+00:00"),
        ("2024-03-20 02:15", "2024-03-20T02:15:00+00:00"),
        ("2024-03-20T02:15:00Z", "2024-03-20T02:15:00+00:00"),
        ("2024-03-20T03:15+01:00", "2024-03-20T02:15:00+00:00"),
        ("2024-03-20", "2024-03-20T00:00:00+00:00"),
    ],
)
def test_times_as_people_write_them(text: str, moment: str) -> None:
    assert times.resolve(text, NOW) == datetime.fromisoformat(moment).timestamp()


@pytest.mark.parametrize("text", ["25:00", "02:60", "yesterday", "", "2024-03-32", ":15", "02:15x"])
def test_text_that_is_no_time_is_a_clear_error(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a time"):
        times.resolve(text, NOW)


def test_a_time_in_the_future_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="in the future: it is now 2024-03-20T02:30:00Z"):
        times.resolve("2024-03-20T03:00", NOW)


@pytest.mark.parametrize(
    ("text", "size"),
    [("16GiB", 16 << 30), ("16 GB", 16e9), ("16g", 16 << 30), ("512M", 512 << 20), ("1000", 1_000)],
)
def test_sizes_as_people_write_them(text: str, size: float) -> None:
    assert sizes.parse(text) == size


@pytest.mark.parametrize("text", ["0", "-1", "much", "", "16GiBB", "1 GB/h"])
def test_text_that_is_no_size_is_a_clear_error(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a size"):
        sizes.parse(text)
