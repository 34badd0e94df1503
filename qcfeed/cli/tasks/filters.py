"""The options by which tasks are picked, the same for every command that lists or ends some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from qcfeed.cli.ui import durations

Site = Annotated[
    str, typer.Option("--site", metavar="FILE:LINE", help="Only tasks that this line spawned.")
]
Label = Annotated[
    list[str] | None,
    typer.Option(
        "--label", metavar="KEY=VALUE", help="Only tasks with this label; may be repeated."
    ),
]
OlderThan = Annotated[
    float | None,
    typer.Option(
        "--older-than", parser=durations.parse, metavar="DURATION", help="Only tasks older: 5m."
    ),
]
WaitingOn = Annotated[
    str, typer.Option("--waiting-on", metavar="WORD", help="Only tasks that wait on such: sleep.")
]
Name = Annotated[
    str, typer.Option("--name", metavar="GLOB", help="Only tasks whose name is like: 'feed A*'.")
]


def asked(
    site: str, label: Sequence[str] | None, older_than: float | None, waiting_on: str, name: str
) -> dict[str, Any]:
    """What was given, as the fields of answers.TaskFilter; empty if nothing was."""
    fields = {
        "site": site,
        "label": "\n".join(label or ()),
        "older_than_s": older_than or 0.0,
        "waiting_on": waiting_on,
        "name": name,
    }
    return {key: value for key, value in fields.items() if value}
