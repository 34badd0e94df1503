"""``qcfeed tasks diff``: compares two saved snapshots, or a saved one with the live service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qcfeed.cli import saved_files
from qcfeed.cli.context import Format, Output, client, examples
from qcfeed.cli.tasks import windows
from qcfeed.control.routes import TASKS_BY_LOCATION
from qcfeed.model.tasks import TasksByLocation
from qcfeed.observe import comparison

EXAMPLES = examples(
    "qcfeed tasks diff before.json               # compare it with the live service",
    "qcfeed tasks diff before.json after.json    # compare two files, without a service",
    "qcfeed tasks --save FILE                    # save a snapshot",
)


def diff(
    ctx: typer.Context,
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="A saved snapshot.")],
    after: Annotated[
        Path | None,
        typer.Argument(
            metavar="[AFTER]", help="A later snapshot. Default: one of the live service."
        ),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Compare two snapshots: tasks created and ended per spawn location, and which grew.

    If the service was restarted in between, only the numbers of live tasks are compared.

    Exit status: 0.
    """
    earlier, _ = saved_files.read(before, TASKS_BY_LOCATION, TasksByLocation)
    if after is None:
        later = windows.snapshot(client(ctx))
    else:
        later, _ = saved_files.read(after, TASKS_BY_LOCATION, TasksByLocation)
    windows.print_window(comparison.compare(earlier, later), output)
