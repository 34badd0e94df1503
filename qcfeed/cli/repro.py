"""``qcfeed repro``: the incident's reproduction, and whether anything stayed."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from enum import StrEnum
from typing import Annotated

import msgspec
import typer

from qcfeed.cli import formats, render
from qcfeed.cli.context import Format, Output, client, examples, new_app, say
from qcfeed.cli.layout import Column, Table
from qcfeed.client import endpoint
from qcfeed.client.cycles import Mode
from qcfeed.client.repro import NEVER_TICKS, Footprint, ModeResult, Plan, Report, reproduce
from qcfeed.control.answers import Status
from qcfeed.control.routes import STATUS
from qcfeed.core import symbol as symbols
from qcfeed.errors import ExitStatus

ALL = "all"
_FLAT = "flat"

app = new_app()


def _change(name: str) -> Column[ModeResult]:
    """Before and after of one count; the difference is the verdict's."""

    def value(result: ModeResult) -> str:
        before, after = getattr(result.before, name), getattr(result.after, name)
        return f"{before:,} > {after:,}"

    return Column(key=name, value=value, right=True)
