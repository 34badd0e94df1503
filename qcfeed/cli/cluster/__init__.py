"""``qcfeed --cluster ...``: asks every instance, and shows who did not answer."""

from __future__ import annotations

import typer

from qcfeed.cli.context import options
from qcfeed.errors import UsageError


def is_asked(ctx: typer.Context, **excluded: object) -> bool:
    """Whether ``--cluster`` was given. ``excluded``: options of the command that are for one instance.

    Raises UsageError if both were given.
    """
    if not options(ctx).cluster:
        return False
    given = [f"--{name.replace('_', '-')}" for name, value in excluded.items() if value]
    if given:
        raise UsageError(
            f"{', '.join(given)} cannot be combined with --cluster",
            hint="name one instance with --instance instead",
        )
    return True
