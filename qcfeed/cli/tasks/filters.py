"""The options that select tasks, shared by the commands that list or cancel them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from qcfeed.cli.ui import durations

Site = Annotated[
    str,
    typer.Option("--site", metavar="FILE:LINE", help="Only tasks spawned at this location."),
]
Label = Annotated[
    list[str] | None,
    typer.Option(
        "-l", "--label", metavar="KEY=VALUE", help="Only tasks with this label; can be repeated."
    ),
]
OlderThan = Annotated[
    float | None,
    durations.option(
        "--older-than",
        text="Only tasks older than this, for example 5m.",
    ),
]
WaitingOn = Annotated[
    str,
    typer.Option(
        "--waiting-on", metavar="WORD", help="Only tasks waiting on WORD, for example sleep."
    ),
]
Name = Annotated[
    str,
    typer.Option("--name", metavar="GLOB", help="Only tasks whose name matches, like 'feed A*'."),
]


def params(
    site: str, label: Sequence[str] | None, older_than: float | None, waiting_on: str, name: str
) -> dict[str, Any]:
    """The filters that were given, as parameters of a request (fields of TaskFilter)."""
    fields = {
        "site": site,
        "label": "\n".join(label or ()),
        "older_than_s": older_than or 0.0,
        "waiting_on": waiting_on,
        "name": name,
    }
    return {key: value for key, value in fields.items() if value}
