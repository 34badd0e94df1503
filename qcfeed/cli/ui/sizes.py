"""Parses sizes on the command line: ``16GiB``, ``16 GB``, ``512m``, or plain bytes."""

from __future__ import annotations

import re

import typer

from qcfeed.formats import unit

_WRITTEN = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.ASCII | re.IGNORECASE)


def parse(text: str) -> float:
    """A size in bytes. GB is a power of 1,000; GiB and a bare G are powers of 1,024.

    Raises typer.BadParameter if ``text`` is not a size above zero.
    """
    match = _WRITTEN.fullmatch(text.strip())
    decimal = text.strip().lower().endswith("b")
    size = float(match[1]) * unit(match[2], binary=bool(match[3]) or not decimal) if match else 0.0
    if size <= 0:
        raise typer.BadParameter(f"{text!r} is not a size; for example 16GiB, 512MiB")
    return size
