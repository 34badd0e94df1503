from __future__ import annotations

import logging

import pytest

from qcfeed.log_limit import BURST, MAX_TEXTS, WINDOW, RepeatLimit


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Clock:
    time = 0.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limit(clock: Clock) -> RepeatLimit:
    return RepeatLimit(clock)


@pytest.fixture
def logger(limit: RepeatLimit) -> logging.Logger:
    logger = logging.Logger("test")  # noqa: LOG001 - not shared with other tests
    handlers = Lines(), Lines()
    for handler in handlers:
        handler.addFilter(limit)
        logger.addHandler(handler)
    return logger


def lines(logger: logging.Logger) -> list[str]:
    first, second = logger.handlers
    assert isinstance(first, Lines)
    assert isinstance(second, Lines)
    assert first.lines == second.lines, "both handlers show the same"
    return first.lines


def test_a_flood_of_one_text_is_cut_off_whatever_its_values(logger: logging.Logger) -> None:
    for number in range(1_000):
        logger.warning("no descriptor for %d", number)
    assert lines(logger) == [f"no descriptor for {number}" for number in range(BURST)]


def test_other_texts_and_levels_are_written(logger: logging.Logger) -> None:
    for _ in range(100):
        logger.warning("a")
    logger.warning("b")
    logger.error("a")
    assert lines(logger)[BURST:] == ["b", "a"]


def test_the_next_line_says_how_many_were_left_out(logger: logging.Logger, clock: Clock) -> None:
    for _ in range(BURST + 7):
        logger.warning("%s", "a")
    clock.time += WINDOW
    logger.warning("%s", "a")
    logger.warning("%s", "a")
    assert lines(logger)[BURST:] == ["a (and 7 more like this)", "a"]


def test_what_was_left_out_is_told_when_no_further_line_comes(
    limit: RepeatLimit, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("qcfeed.test_log_limit")
    logger.addFilter(limit)
    try:
        for _ in range(BURST + 1_500):
            logger.warning("a %s", "b")
        caplog.clear()
        limit.flush()
        assert caplog.messages == []  # the window is not over
        clock.time += WINDOW
        limit.flush()
        limit.flush()
        assert caplog.messages == ["a %s (and 1,500 more like this)"]
    finally:
        logger.removeFilter(limit)


def test_a_flood_of_different_texts_takes_bounded_memory(
    logger: logging.Logger, limit: RepeatLimit
) -> None:
    for number in range(3 * MAX_TEXTS):
        logger.warning(f"text {number}")  # noqa: G004 - that is the case
    assert len(limit) == MAX_TEXTS
