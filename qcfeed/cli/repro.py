"""``qcfeed repro``: the incident's reproduction, and whether anything stayed."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from enum import StrEnum
from types import TracebackType
from typing import Annotated

import msgspec
import typer

from qcfeed.cli.context import client, examples, new_app, say
from qcfeed.cli.ui import formats, render
from qcfeed.cli.ui.table import Column, Table
from qcfeed.client import endpoint
from qcfeed.client.cycles import Mode
from qcfeed.client.repro import NEVER_TICKS, ModeResult, Plan, Report, reproduce
from qcfeed.control.routes import STATUS
from qcfeed.errors import ExitStatus
from qcfeed.model import symbol as symbols
from qcfeed.model.answers import Status

app = new_app()


class View(StrEnum):
    """How the report is printed."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"


class Modes(StrEnum):
    """How the clients leave."""

    CLEAN = "clean"
    RUDE = "rude"
    QUIET = "quiet"
    HALF_OPEN = "half-open"
    ALL = "all"


def _count(key: str, header: str = "") -> Column[ModeResult]:
    def change(result: ModeResult) -> str:
        return f"{getattr(result.before, key):,} > {getattr(result.after, key):,}"

    return Column(key=key, header=header, value=change, right=True)


def _memory(result: ModeResult) -> str:
    before, after = result.before.resident_bytes, result.after.resident_bytes
    return f"{before / 2**20:.1f} > {after / 2**20:.1f} MiB"


TABLE: Table[ModeResult] = Table(
    (
        Column("mode"),
        Column("cycles", show=formats.count, right=True, rank=2),
        Column("took", "elapsed_s", show=formats.age, right=True, rank=3),
        Column("let_go", "settled_s", show=formats.age, right=True, rank=4),
        Column("refused", "retries", show=formats.count, right=True, rank=5),
        _count("tasks"),
        _count("feeds"),
        _count("subscriptions", "SUBS"),
        _count("connections", "CONNS"),
        _count("orphans"),
        Column("memory", value=_memory, right=True, rank=1),
        Column(
            "stayed",
            value=lambda result: ", ".join(result.findings) or "nothing",
            least=12,
            colour=lambda result: "red" if result.findings else "green",
        ),
    ),
    identity=lambda result: result.mode,
)


@app.command(
    epilog=examples(
        "qcfeed repro",
        "qcfeed repro ws://127.0.0.1:8006 --mode rude --cycles 100000",
        "qcfeed repro --symbol BTC-USD --mode clean -o json | jq .flat",
    )
)
def repro(
    ctx: typer.Context,
    url: Annotated[
        str | None,
        typer.Argument(help="ws://HOST:PORT of the service; found by itself on this machine."),
    ] = None,
    cycles: Annotated[int, typer.Option(min=1, help="How many clients come and go, a mode.")] = 100,
    mode: Annotated[
        Modes,
        typer.Option(
            help="clean: a proper close; rude: a dropped socket; quiet: on a symbol that never"
            " ticks; half-open: a client that reads no more, until the service drops it."
        ),
    ] = Modes.ALL,
    symbol: Annotated[str, typer.Option(help="What they subscribe to; it must tick.")] = "AAPL",
    quiet_symbol: Annotated[
        str, typer.Option(help="What they subscribe to in mode quiet; it must never tick.")
    ] = NEVER_TICKS,
    concurrency: Annotated[
        int, typer.Option(min=1, help="How many at once; half-open opens as many as are allowed.")
    ] = 50,
    settle: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help="Seconds the service may take to let go. By default 10 (--linger and a margin),"
            " half-open 70 (with --ping-interval and --stall-timeout): longer if it has longer.",
        ),
    ] = None,
    output: Annotated[
        View, typer.Option("-o", "--output", help="table, wide (every column) or json (versioned).")
    ] = View.TABLE,
) -> None:
    """Reproduce the incident: subscribe, get a quote, disconnect, again and again; see what stays.

    Counts are shown as before > after, of a service that has no other visitors meanwhile. Exit
    status: 1 when tasks, feeds, subscriptions, connections or orphans are above where they began, or
    memory by more than 16 MiB and 8 KiB for each client held at once, or when the service cannot see
    all of its tasks; 0 when nothing stayed.
    """
    control = client(ctx)

    async def status() -> Status:
        return await asyncio.to_thread(control.get, STATUS, Status)

    plan = Plan(
        symbol=symbols.parse(symbol),
        quiet_symbol=symbols.parse(quiet_symbol),
        modes=list(Mode) if mode is Modes.ALL else [Mode(mode)],
        cycles=cycles,
        concurrency=concurrency,
        settle=settle,
    )
    where = endpoint.parse(url or f"ws://{control.get(STATUS, Status).listening.quotes}")
    with _Bars() as bars:
        report = asyncio.run(reproduce(where, status, plan, bars))
    _print(report, output)
    if not report.flat:
        raise typer.Exit(ExitStatus.FINDINGS)


def _print(report: Report, output: View) -> None:
    if output is View.JSON:
        render.emit(msgspec.json.encode(report).decode())
    else:
        render.draw(TABLE, report.modes, wide=output is View.WIDE)
    for result in report.modes:
        if result.findings:
            say(f"finding: {result.mode}: {', '.join(result.findings)}")
    if not report.flat:
        say("  next: `qcfeed orphans`, then `qcfeed tasks --by-location`")


class _Bars:
    """A progress bar for each phase, one after the other; nothing where stderr is no terminal."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._done = 0

    def __enter__(self) -> _Bars:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def phase(self, label: str, total: int) -> None:
        self._open.close()
        self._done = 0
        self._move = self._open.enter_context(render.progress(label, total))

    def advance(self, steps: int) -> None:
        self._done += steps
        self._move(self._done)
