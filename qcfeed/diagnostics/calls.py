"""The calls that led to a task's spawning, where the ledger keeps them; stacks.py has the rest."""

from __future__ import annotations

import linecache

from qcfeed.diagnostics.site import Record, line_at, short_path
from qcfeed.diagnostics.stacks import Frame


def of_spawn(record: Record) -> list[Frame]:
    """The innermost call last; empty where they were not kept. Cost: 5 us a call."""
    return [
        Frame(
            file=short_path(code.co_filename),
            line=(line := line_at(code, lasti)),
            function=code.co_qualname,
            source=linecache.getline(code.co_filename, line).strip() or None,
        )
        for code, lasti in reversed(getattr(record, "spawned_by", ()))
    ]
