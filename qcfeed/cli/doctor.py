"""``qcfeed doctor``: checks everything from the installation to Prometheus, one check after another."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import typer

from qcfeed.cli import config_file, prometheus, target
from qcfeed.cli.context import Format, Output, examples, new_app, options, say
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.listing import listed
from qcfeed.cli.ui.render import show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control import paths
from qcfeed.doctor import certificate, evidence, exposure, installation, machine
from qcfeed.doctor import prometheus as prometheus_checks
from qcfeed.doctor.check import (
    FAILED,
    PASSED,
    SKIPPED,
    Case,
    Check,
    CheckFailedError,
    CheckResult,
    run_checks,
)
from qcfeed.errors import ExitStatus

app = new_app()

_COLOURS = {PASSED: "green", FAILED: "red", SKIPPED: "yellow"}
_ORDER = (FAILED, SKIPPED, PASSED)

RESULTS: Table[CheckResult] = Table(
    (
        Column("check"),
        Column("outcome", show=str.upper, colour=lambda r: _COLOURS[r.outcome]),
        Column("detail", least=24),
        Column("next", least=24),
    ),
    identity=lambda r: r.check,
)


def _configuration(case: Case) -> str:
    """The file, the environment and the contexts are valid; secrets in the file are private."""
    if errors := config_file.errors(case.file):
        more = len(errors) - 1
        raise CheckFailedError(
            errors[0].message + (f"; and {formats.plural(more, 'more error')}" if more else ""),
            hint="; ".join(filter(None, (errors[0].hint, "`qcfeed config check` lists all"))),
        )
    if exposed := config_file.exposed(case.file):
        raise CheckFailedError(
            f"{exposed} contains a secret and is accessible to other users",
            hint=f"`chmod 600 {exposed}`",
        )
    return config_file.summary(case.file)


CHECKS: tuple[tuple[str, Check], ...] = (
    ("installation", installation.installation),
    ("versions", installation.versions),
    ("configuration", _configuration),
    ("ports", machine.ports),
    ("sockets", machine.sockets),
    ("service", machine.running),
    ("certificate", certificate.valid),
    ("files", machine.files),
    ("ledger", machine.ledger),
    ("memory", machine.memory_limit),
    ("evidence", evidence.saved),
    ("clock", machine.clock),
    ("prometheus", prometheus_checks.reachable),
    ("scraped", prometheus_checks.scraped),
    ("rules", prometheus_checks.rules),
    ("prometheus clock", prometheus_checks.clock),
)
"""The checks in order: a failure may be the reason why later ones fail or are skipped."""


def doctor(ctx: typer.Context, output: Output = Format.TABLE, **flags: Any) -> None:
    """Check the installation, configuration, machine, service and Prometheus.

    Each check is PASSED, FAILED, or SKIPPED with a reason, and names the command to type next.
    Changes nothing. If no service is running, checks whether one could start here.

    Exit status: 1 if a check failed, 0 if none did.
    """
    given = options(ctx)

    def address() -> paths.ControlAddress:
        found = given.resolved()
        return paths.resolve(found.instance, found.socket, found.url, token_file=found.token_file)

    case = Case(
        address=address,
        file=given.config,
        timeout=given.timeout,
        command=target.program(),
        prometheus=lambda: prometheus.resolve(ctx, flags).config,
    )
    results = [
        result._replace(next=target.in_text(result.next) or "")
        for result in (*run_checks(CHECKS, case), *exposure.results(case))
    ]
    counts = Counter(result.outcome for result in results)
    raw = msgspec.json.encode(
        {
            "schema": "qcfeed.doctor/1",
            "checks": [result._asdict() for result in results],
            **{outcome: counts[outcome] for outcome in _ORDER},
        }
    )
    show(output, RESULTS, results, raw=raw)
    say(", ".join(f"{counts[outcome]} {outcome}" for outcome in _ORDER if counts[outcome]))
    if counts[FAILED]:
        raise typer.Exit(ExitStatus.FINDINGS)


app.command(
    epilog=examples(
        "qcfeed doctor",
        "qcfeed doctor --state failed",
        "qcfeed --context prod doctor --prometheus http://127.0.0.1:9090",
        "qcfeed doctor -o json | jq '.checks[] | select(.outcome == \"failed\")'",
    )
)(listed(prometheus.with_flags(doctor), "state", states=("outcome",)))
