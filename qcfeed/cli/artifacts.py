"""``qcfeed artifacts``: rules, dashboards and configuration for a team's own monitoring."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from qcfeed.cli.context import Format, Output, examples, new_app, say
from qcfeed.cli.ui.render import emit, show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.errors import UsageError
from qcfeed.metrics.artifacts import Artifact, text
from qcfeed.metrics.catalog.alerts import RUNBOOKS

app = new_app()

LIST: Table[Artifact] = Table(
    (
        Column("name", "value"),
        Column("file"),
        Column("about", least=30),
    ),
    identity=lambda artifact: artifact.value,
)


@app.command(
    epilog=examples(
        "qcfeed artifacts                        # list them",
        "qcfeed artifacts rules > /etc/prometheus/rules.yml",
        "qcfeed artifacts rules --faster 30      # for a rehearsal: minutes become seconds",
        "qcfeed artifacts --write monitoring     # write all of them to files",
    )
)
def artifacts(
    name: Annotated[
        Artifact | None,
        typer.Argument(metavar="[ARTIFACT]", help="The artifact to print or write. Default: all."),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write files to this directory; existing ones are replaced."
        ),
    ] = None,
    runbooks: Annotated[
        str, typer.Option(metavar="URL", help="Base URL of the runbooks, for links in the rules.")
    ] = RUNBOOKS,
    faster: Annotated[
        int,
        typer.Option(
            min=1, max=3_600, metavar="N", help="Divide every duration in the rules by N."
        ),
    ] = 1,
    output: Output = Format.TABLE,
) -> None:
    """List, print or write Prometheus rules, dashboards and configuration.

    Without an argument: lists the artifacts. With one: prints it. With --write: writes it, or all
    of them, to files.

    Exit status: 0; 2 if a file cannot be written.
    """
    if write is not None:
        _write([name] if name else list(Artifact), write, runbooks, faster)
    elif name is not None:
        emit(text(name, runbooks=runbooks, faster=faster))
    else:
        show(output, LIST, list(Artifact), raw=_json())


def _write(selected: list[Artifact], directory: Path, runbooks: str, faster: int) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for artifact in selected:
            path = directory / artifact.file
            path.write_text(text(artifact, runbooks=runbooks, faster=faster), encoding="utf-8")
            say(f"wrote {path}")
    except OSError as error:
        raise UsageError(
            f"cannot write {error.filename}: {error.strerror}",
            hint="give --write a directory that you can write to",
        ) from error


def _json() -> bytes:
    listed = [{"name": each.value, "file": each.file, "about": each.about} for each in Artifact]
    return json.dumps({"schema": "qcfeed.artifacts/1", "artifacts": listed}).encode()
