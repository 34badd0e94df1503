import pytest

from qcfeed.cli.ui import formats


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.0004, "0ms"),
        (0.9999, "999ms"),
        (2.54, "2.5s"),
        (16.9, "16s"),
        (60, "1m00s"),
        (13_620, "3h47m"),
        (86_400, "1d00h"),
        (100 * 86_400 + 5 * 3_600, "100d05h"),
        (-0.1, "0ms"),
    ],
)
def test_age(seconds: float, text: str) -> None:
    assert formats.age(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1.0 KiB"), (15_247_333_785, "14.2 GiB"),
     (640 * 1024**2, "640 MiB"), (5 * 1024**5, "5120 TiB")],
)  # fmt: skip
def test_size(number: int, text: str) -> None:
    assert formats.size(number) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.041, "0.041 ms"), (3.21, "3.2 ms"), (12.4, "12 ms"), (5_200.0, "5.2 s")],
)
def test_milliseconds(value: float, text: str) -> None:
    assert formats.milliseconds(value) == text


def test_counts_and_rates() -> None:
    assert formats.count(47_829) == "47,829"
    assert formats.plural(1, "task") == "1 task"
    assert formats.plural(0, "task") == "0 tasks"
    assert [formats.rate(r) for r in (0, 0.25, 99.94, 1240)] == ["0", "0.2", "99.9", "1,240"]


def test_clock_is_the_time_of_day() -> None:
    assert formats.clock("2024-03-20T02:14:59.123Z") == "02:14:59"
    assert formats.clock("never") == "never"


def test_text_of_the_watched_program_cannot_steer_the_terminal() -> None:
    assert formats.printable("feed AAPL é") == "feed AAPL é"
    assert formats.printable("a\x1b[31mb\nc\u202e") == "a\\x1b[31mb\\nc\\u202e"
