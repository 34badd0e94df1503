"""``qcfeed repro``: reproduces the incident and checks that nothing leaked."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from enum import StrEnum
from types import TracebackType
from typing import Annotated

import msgspec
import typer

from qcfeed.cli.context import client, examples, new_app, say
from qcfeed.cli.credentials import TokenFile, token_source
from qcfeed.cli.tls import TlsCa, TlsClientCert, TlsClientKey, contexts
from qcfeed.cli.ui import formats, render
from qcfeed.cli.ui.listing import answered
from qcfeed.cli.ui.table import Column, Table
from qcfeed.client import endpoint
from qcfeed.client.cycles import Mode
from qcfeed.client.repro import NEVER_TICKS, ModeResult, ReproPlan, ReproReport, reproduce
from qcfeed.client.trust import Trust
from qcfeed.control.routes import STATUS
from qcfeed.errors import ExitStatus
from qcfeed.model import symbol as symbols
from qcfeed.model.status import ServiceStatus

USUAL = "AAPL"

app = new_app()


class ReproFormat(StrEnum):
    """How the report is printed."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"


class Modes(StrEnum):
    """How the clients disconnect."""

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
        Column("cycles", "cycle_count", show=formats.count, right=True, rank=2),
        Column("took", "elapsed_s", show=formats.age, right=True, rank=3),
        Column("let_go", "settled_s", show=formats.age, right=True, rank=4),
        Column("refused", "retries", show=formats.count, right=True, rank=5),
        _count("live", "TASKS"),
        _count("feed_count", "FEEDS"),
        _count("subscriptions", "SUBS"),
        _count("connections", "CONNS"),
        _count("orphaned", "ORPHANS"),
        Column("memory", value=_memory, right=True, rank=1),
        Column(
            "stayed",
            value=lambda result: ", ".join(result.problems) or "nothing",
            least=12,
            colour=lambda result: "red" if result.problems else "green",
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
@answered
def repro(
    ctx: typer.Context,
    url: Annotated[
        str | None,
        typer.Argument(
            help="ws://HOST:PORT of the service, also with /quotes/SYMBOL. Default: the one on this machine."
        ),
    ] = None,
    cycles: Annotated[int, typer.Option(min=1, help="Number of clients per mode.")] = 100,
    mode: Annotated[
        Modes,
        typer.Option(
            help="clean: a closing handshake; rude: a dropped socket; quiet: on a symbol that never"
            " ticks; half-open: the client stops reading until the service drops it."
        ),
    ] = Modes.ALL,
    symbol: Annotated[
        str,
        typer.Option(
            help=f"Symbol to subscribe to; it must have quotes. Default: that of the URL, or {USUAL}."
        ),
    ] = "",
    quiet_symbol: Annotated[
        str, typer.Option(help="Symbol for mode quiet; it must never have quotes.")
    ] = NEVER_TICKS,
    concurrency: Annotated[
        int,
        typer.Option(
            min=1,
            help="Number of clients at a time; half-open opens as many as the service allows.",
        ),
    ] = 50,
    settle: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help="Seconds to wait for the service to release everything. Default: 10, which covers"
            " --linger; 70 in mode half-open, which covers --ping-interval and --stall-timeout;"
            " longer if the service is configured with longer ones.",
        ),
    ] = None,
    token_file: TokenFile = None,
    tls_ca: TlsCa = None,
    tls_client_cert: TlsClientCert = None,
    tls_client_key: TlsClientKey = None,
    output: Annotated[
        ReproFormat,
        typer.Option("-o", "--output", help="table, wide (every column) or json (versioned)."),
    ] = ReproFormat.TABLE,
) -> None:
    """Reproduce the incident: clients come and go, then count what they left behind.

    Each client subscribes, receives a quote and disconnects. Counts are shown as before > after; the
    service must have no other subscribers meanwhile.

    Exit status: 1 if tasks, feeds, subscriptions, connections or orphans have increased, if memory
    has increased by more than 16 MiB plus 8 KiB per concurrent client, or if the ledger is
    incomplete; 0 if not.
    """
    control = client(ctx)
    server, in_url = endpoint.parse_url(
        url or control.get(STATUS, ServiceStatus).listening.quotes_url
    )
    # The service of the control plane is the one that is connected to, also with a URL.
    tls = contexts(
        Trust(tls_ca, tls_client_cert, tls_client_key),
        server.scheme,
        lambda: control.get(STATUS, ServiceStatus),
    )

    async def status() -> ServiceStatus:
        return await asyncio.to_thread(control.get, STATUS, ServiceStatus)

    token = token_source(token_file)()
    plan = ReproPlan(
        symbol=symbols.parse(symbol) if symbol else in_url or symbols.parse(USUAL),
        quiet_symbol=symbols.parse(quiet_symbol),
        modes=list(Mode) if mode is Modes.ALL else [Mode(mode)],
        cycles=cycles,
        concurrency=concurrency,
        settle=settle,
        token=token,
        tls=tls(),
    )
    with _ProgressBars() as bars:
        report = asyncio.run(reproduce(server, status, plan, bars))
    _print(report, output)
    if not report.flat:
        raise typer.Exit(ExitStatus.FINDINGS)


def _print(report: ReproReport, output: ReproFormat) -> None:
    if output is ReproFormat.JSON:
        render.emit_json(msgspec.json.encode(report))
    else:
        render.draw(TABLE, report.modes, wide=output is ReproFormat.WIDE)
    for result in report.modes:
        if result.problems:
            say(f"finding: {result.mode}: {', '.join(result.problems)}")
    if not report.flat:
        say("  next: `qcfeed orphans`, then `qcfeed tasks --by-location`")


class _ProgressBars:
    """A progress bar per phase, one after the other; none if stderr is not a terminal."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._done = 0

    def __enter__(self) -> _ProgressBars:
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
