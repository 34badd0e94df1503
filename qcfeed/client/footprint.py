"""What a service holds, and what of it has leaks."""

from __future__ import annotations

import msgspec

from qcfeed.model.answers import Status

MEMORY_TOLERANCE = 16 * 2**20
MEMORY_PER_PEER = 8 * 2**10
"""What resident memory may be above the baseline, in bytes: a constant for the allocators' arenas,
and for each connection held at once what it may have cost at its peak, as neither needs to go back
to the kernel. It does not grow with the cycles, so more cycles see a smaller leak."""


class Footprint(msgspec.Struct, frozen=True, kw_only=True):
    """What the service holds, or by how much that changed."""

    tasks: int
    feeds: int
    subscriptions: int
    connections: int
    orphans: int
    resident_bytes: int

    @classmethod
    def of(cls, status: Status) -> Footprint:
        return cls(
            tasks=status.tasks.live,
            feeds=status.feeds,
            subscriptions=status.subscriptions,
            connections=status.connections,
            orphans=status.orphaned_tasks + status.orphaned_subscriptions,
            resident_bytes=status.memory.resident_bytes,
        )

    def __sub__(self, other: Footprint) -> Footprint:
        return Footprint(
            **{name: getattr(self, name) - getattr(other, name) for name in self.__struct_fields__}
        )

    def leaks(self, memory_tolerance: int) -> list[str]:
        """What is above zero in this difference, in words; memory only above its tolerance."""
        counted = [name for name in self.__struct_fields__ if name != "resident_bytes"]
        found = [f"{name} {more:+,}" for name in counted if (more := getattr(self, name)) > 0]
        if self.resident_bytes > memory_tolerance:
            found.append(
                f"memory +{mebibytes(self.resident_bytes)}, tolerated {mebibytes(memory_tolerance)}"
            )
        return found


def memory_tolerance(peers: int) -> int:
    """Bytes that resident memory may be above the baseline after ``peers`` were held at once."""
    return MEMORY_TOLERANCE + MEMORY_PER_PEER * peers


def mebibytes(count: int) -> str:
    """``count`` bytes for a person."""
    return f"{count / 2**20:.1f} MiB"
