"""Durations as people write them: ``30s``, ``1.5m``, ``500ms``, ``1h``, or plain seconds."""

from __future__ import annotations

import re

import typer

_UNITS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_WRITTEN = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(ms|s|m|h|d|)", re.ASCII)


def parse(text: str) -> float:
    """Seconds. Raises typer.BadParameter for what is no duration, or none at all."""
    match = _WRITTEN.fullmatch(text.strip().lower())
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 0.0 < seconds < float("inf"):
        raise typer.BadParameter(f"{text!r} is not a duration; for example 30s, 10m, 500ms")
    return seconds
