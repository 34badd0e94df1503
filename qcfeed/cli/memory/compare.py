"""What grew between two looks at the memory of one process. Pure."""

from __future__ import annotations

from qcfeed import rfc3339
from qcfeed.errors import UsageError
from qcfeed.model.memory import LargeObject, MemoryPart, MemoryUse


def compared(before: MemoryUse, after: MemoryUse) -> MemoryUse:
    """The second look with what grew since the first, what grew most first.

    Raises UsageError if they are of different processes.
    """
    if (before.pid, before.instance) != (after.pid, after.instance):
        raise UsageError(
            "the service was restarted between the two looks", hint="run the command again"
        )
    earlier = {_key(part): part.bytes for part in before.parts}
    for part in after.parts:
        part.grown_bytes = part.bytes - earlier.get(_key(part), 0)
    known = {(each.reached_by, each.type): each.bytes for each in before.largest}
    for each in after.largest:
        each.grown_bytes = each.bytes - known.get((each.reached_by, each.type), 0)
    after.parts.sort(key=_growth, reverse=True)
    after.largest.sort(key=_growth, reverse=True)
    after.grown_bytes = after.memory.resident_bytes - before.memory.resident_bytes
    after.window_s = rfc3339.unix(after.taken_at) - rfc3339.unix(before.taken_at)
    return after


def _key(part: MemoryPart) -> tuple[str, str, str]:
    return part.kind, part.name, part.function


def _growth(row: MemoryPart | LargeObject) -> int:
    return row.grown_bytes or 0
