"""Processes whose wall clock is wrong, by libfaketime; their monotonic clock is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

_FOUND = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))

needs_faketime = pytest.mark.skipif(
    not _FOUND, reason="no libfaketime: `apt-get install faketime` (scripts/system_parts.sh)"
)


def clock_off_by(seconds: int) -> dict[str, str]:
    """The environment of a process whose wall clock is ahead by ``seconds``, or behind."""
    return {
        "LD_PRELOAD": str(_FOUND[0]),
        "FAKETIME": f"{seconds:+d}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
