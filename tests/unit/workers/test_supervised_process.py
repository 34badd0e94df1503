from __future__ import annotations

import pytest

from qcfeed.errors import ConfigError, QcfeedError, StartError
from qcfeed.workers.supervised_process import start_error


@pytest.mark.parametrize(
    ("status", "lines", "kind", "message", "hint"),
    [
        (
            3,
            ["2024 INFO x", "qcfeed: error: port 1 is in use", "  hint: take another", ""],
            StartError, "8006-1 did not start: port 1 is in use", "take another",
        ),
        (2, ["qcfeed: error: no"], ConfigError, "8006-1 did not start: no", None),
        (-9, ["a", "b", " ", "c", "d"], StartError,
         "8006-1 did not start, it was killed by SIGKILL: b / c / d", None),
        (70, [], StartError, "8006-1 did not start, it ended with status 70: ", None),
    ],
)  # fmt: skip
def test_the_error_of_a_start_is_what_the_process_said(
    status: int, lines: list[str], kind: type[QcfeedError], message: str, hint: str | None
) -> None:
    error = start_error("8006-1", status, lines)
    assert (type(error), error.message, error.hint) == (kind, message, hint)
