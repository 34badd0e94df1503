"""``qcfeed tasks diff``: two saved snapshots, or a saved one and now."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qcfeed.cli import saved_files
from qcfeed.cli.context import Format, Output, client, examples
from qcfeed.cli.tasks import windows
from qcfeed.control.routes import TASKS_BY_LOCATION
from qcfeed.model.answers import TasksByLocation

EXAMPLES = examples(
    "qcfeed tasks diff before.json               # against now",
    "qcfeed tasks diff before.json after.json    # anywhere, without the service",
    "qcfeed tasks --save FILE                    # is what writes them",
)


def diff(
    ctx: typer.Context,
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="A saved moment.")],
    after: Annotated[
        Path | None, typer.Argument(metavar="[AFTER]", help="A later one; the service's, if none.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Compare two snapshots: what was born and ended a spawn location, and which grew.

    Of two processes (after a restart) only the live tasks can be compared; it says so then.
    """
    earlier, _ = saved_files.read(before, TASKS_BY_LOCATION, TasksByLocation)
    if after is None:
        later = windows.snapshot(client(ctx))
    else:
        later, _ = saved_files.read(after, TASKS_BY_LOCATION, TasksByLocation)
    windows.print_window(windows.compare(earlier, later), output)
