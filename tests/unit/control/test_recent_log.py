from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from qcfeed.control.recent_log import LONGEST, RecentLog
from qcfeed.service.run import start_logging


@pytest.fixture
def kept() -> Iterator[tuple[RecentLog, logging.Logger]]:
    handler, logger = RecentLog(lines=3), logging.getLogger("tests.recent")
    logger.addHandler(handler)
    logger.propagate = False
    yield handler, logger
    logger.removeHandler(handler)
    logger.propagate = True


def test_the_newest_are_kept_and_the_others_counted(kept: tuple[RecentLog, logging.Logger]) -> None:
    handler, logger = kept
    for number in range(5):
        logger.warning("line %d", number)
    assert [each.message for each in handler.entries()] == ["line 2", "line 3", "line 4"]
    assert handler.dropped == 2


def test_a_repeated_line_is_kept_once_with_a_count(kept: tuple[RecentLog, logging.Logger]) -> None:
    handler, logger = kept
    for _ in range(1_000):
        logger.warning("No receivers for %s", "AAPL")
    logger.error("No receivers for %s", "AAPL")
    first, second = handler.entries()
    assert (first.message, first.level, first.repeated) == (
        "No receivers for AAPL",
        "WARNING",
        1_000,
    )
    assert first.at <= first.last_at <= second.at
    assert (second.level, handler.dropped) == ("ERROR", 0)


def test_a_traceback_is_kept_and_a_long_line_cut(kept: tuple[RecentLog, logging.Logger]) -> None:
    handler, logger = kept
    logger.error("it failed", exc_info=ValueError("broken"))
    logger.warning("x" * 100_000)
    first, second = handler.entries()
    assert first.message.endswith("ValueError: broken")
    assert len(second.message) == LONGEST


def test_a_line_that_cannot_be_made_does_no_harm(capsys: pytest.CaptureFixture[str]) -> None:
    handler = RecentLog()
    handler.handle(logging.LogRecord("x", logging.WARNING, "x.py", 1, "%d", ("no number",), None))
    assert handler.entries() == []
    assert "Logging error" in capsys.readouterr().err


def test_the_logging_of_the_service_adds_nothing_to_a_line() -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        recent, _ = start_logging("text")
        logging.getLogger("qcfeed.x").warning("all is %s", "well")
    finally:
        root.handlers[:], root.level = before
    assert [(each.logger, each.message) for each in recent.entries()] == [
        ("qcfeed.x", "all is well")
    ]
