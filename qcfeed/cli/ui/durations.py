"""Parses durations on the command line: ``30s``, ``1.5m``, ``500ms``, ``1h``, or plain seconds."""

from __future__ import annotations

import re
from typing import Any

import typer

_UNITS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_WRITTEN = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(ms|s|m|h|d|)", re.ASCII)


def parse(text: str) -> float:
    """A duration in seconds. Raises typer.BadParameter if ``text`` is not a duration above zero."""
    match = _WRITTEN.fullmatch(text.strip().lower())
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 0.0 < seconds < float("inf"):
        raise typer.BadParameter(f"{text!r} is not a duration; for example 30s, 10m, 500ms")
    return seconds


def option(*names: str, text: str) -> Any:
    """The declaration of an option that takes a duration, for Annotated; ``text`` is its help.

    ``names``: its names on the command line, by default that of the parameter.
    """
    return typer.Option(*names, parser=parse, metavar="DURATION", help=text)
