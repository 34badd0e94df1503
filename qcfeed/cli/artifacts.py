"""``qcfeed artifacts``: rules, dashboards and configuration for a team's own monitoring."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from qcfeed import files
from qcfeed.cli import output_files
from qcfeed.cli.context import Format, Output, examples, new_app, say
from qcfeed.cli.ui.listing import listed
from qcfeed.cli.ui.render import emit, show
from qcfeed.cli.ui.table import Column, Table
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
@listed
def artifacts(
    name: Annotated[
        Artifact | None,
        typer.Argument(metavar="[ARTIFACT]", help="The artifact to print or write. Default: all."),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write files to this directory."),
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
    force: output_files.Force = False,
    output: Output = Format.TABLE,
) -> None:
    """List, print or write Prometheus rules, dashboards and configuration.

    Without an argument: lists the artifacts. With one: prints it. With --write: writes it, or all
    of them, to files.

    Exit status: 6 if a file exists with other content and --force is not given; 2 if it cannot be
    written; 0 otherwise.
    """
    if write is not None:
        texts = {
            write / each.file: text(each, runbooks=runbooks, faster=faster)
            for each in ([name] if name else list(Artifact))
        }
        _write(write, texts, force=force)
    elif name is not None:
        emit(text(name, runbooks=runbooks, faster=faster))
    else:
        show(output, LIST, list(Artifact), raw=_json())


def _write(directory: Path, texts: dict[Path, str], *, force: bool) -> None:
    """Write the files that are not there as they are. Nothing is written if one of them may not be."""
    output_files.make_directory(directory)
    changed = [path for path, content in texts.items() if not _holds(path, content)]
    for path in changed:
        output_files.check(path, force=force)
    for path in texts:
        if path in changed:
            output_files.write(path, texts[path].encode(), force=force, mode=output_files.PUBLIC)
        say(f"{'wrote' if path in changed else 'unchanged:'} {path}")


def _holds(path: Path, content: str) -> bool:
    try:
        return files.read(path, len(content.encode()))[0] == content.encode()
    except OSError:  # not there, longer, or unreadable: writing it will say why it cannot be
        return False


def _json() -> bytes:
    listed = [{"name": each.value, "file": each.file, "about": each.about} for each in Artifact]
    return json.dumps({"schema": "qcfeed.artifacts/1", "artifacts": listed}).encode()
