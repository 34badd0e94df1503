"""Ends what ``attach`` began in the program."""

from __future__ import annotations

import sys
from typing import Any


def work(_: Any, arguments: dict[str, Any]) -> Any:
    """Detach the program. Runs in a thread of its own; takes a few milliseconds of the loop."""
    resident = sys.modules.get("qcfeed.inject.resident")
    if resident is None:
        return {
            "error": {
                "code": "not_found",
                "message": "`qcfeed attach` has not attached it",
                "hint": "a program that calls `qcfeed.attach()` itself detaches by closing its handle",
            }
        }
    return resident.detach(arguments["within"])
