"""What grew between two looks at the memory of one process. Pure."""

from __future__ import annotations

from qcfeed import rfc3339
from qcfeed.errors import UsageError
from qcfeed.model.memory import LargeObject, MemoryKind, MemoryPart, MemoryUse


def compared(before: MemoryUse, after: MemoryUse) -> MemoryUse:
    """The second look with what grew since the first, what grew most first.

    Types are compared only if both looks visited everything: else what one of them did not reach would
    seem to have grown. Raises UsageError if they are of different processes.
    """
    if (before.pid, before.instance) != (after.pid, after.instance):
        raise UsageError(
            "the service was restarted between the two looks", hint="run the command again"
        )
    after.complete = before.complete and after.complete
    earlier = {_key(part): part.bytes for part in before.parts}
    for part in after.parts:
        if part.kind is MemoryKind.TYPE and not after.complete:
            continue
        part.grown_bytes = part.bytes - earlier.get(_key(part), 0)
    known = {(each.reached_by, each.type): each.bytes for each in before.largest}
    for each in after.largest:
        found = known.get((each.reached_by, each.type), 0 if before.complete else None)
        each.grown_bytes = None if found is None else each.bytes - found
    after.parts.sort(key=_growth, reverse=True)
    after.largest.sort(key=_growth, reverse=True)
    after.grown_bytes = after.memory.resident_bytes - before.memory.resident_bytes
    after.window_s = rfc3339.unix(after.taken_at) - rfc3339.unix(before.taken_at)
    return after


def _key(part: MemoryPart) -> tuple[str, str, str]:
    return part.kind, part.name, part.function


def _growth(row: MemoryPart | LargeObject) -> int:
    return row.grown_bytes or 0
