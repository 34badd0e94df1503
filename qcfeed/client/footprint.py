"""The resources a service uses, and which of them have leaked."""

from __future__ import annotations

import msgspec

from qcfeed.model.status import ServiceStatus

MEMORY_TOLERANCE = 16 * 2**20
MEMORY_PER_PEER = 8 * 2**10
"""Bytes by which resident memory may exceed the baseline without counting as a leak.

Freed memory need not go back to the kernel: neither the allocators' arenas (a constant), nor the peak
memory of concurrent connections. The tolerance does not grow with the number of cycles, so more
cycles detect a smaller leak.
"""


class Footprint(msgspec.Struct, frozen=True, kw_only=True):
    """The resources of a service, or the difference of two footprints."""

    live: int
    feed_count: int
    subscriptions: int
    connections: int
    orphaned: int
    resident_bytes: int

    @classmethod
    def of(cls, status: ServiceStatus) -> Footprint:
        return cls(
            live=status.totals.live,
            feed_count=status.feed_count,
            subscriptions=status.subscriptions,
            connections=status.connections,
            orphaned=status.orphaned_tasks + status.orphaned_subscriptions,
            resident_bytes=status.memory.resident_bytes,
        )

    def __sub__(self, other: Footprint) -> Footprint:
        return Footprint(
            **{name: getattr(self, name) - getattr(other, name) for name in self.__struct_fields__}
        )

    def leaks(self, memory_tolerance: int) -> list[str]:
        """Describe what is above zero in this difference; memory only if above its tolerance."""
        found = [
            f"{word} {more:+,}"
            for name, word in _WORDS.items()
            if (more := getattr(self, name)) > 0
        ]
        if self.resident_bytes > memory_tolerance:
            found.append(
                f"memory +{mebibytes(self.resident_bytes)}, tolerance {mebibytes(memory_tolerance)}"
            )
        return found


_WORDS = {
    "live": "tasks",
    "feed_count": "feeds",
    "subscriptions": "subscriptions",
    "connections": "connections",
    "orphaned": "orphans",
}


def memory_tolerance(peers: int) -> int:
    """The tolerance for memory in bytes, after ``peers`` concurrent connections."""
    return MEMORY_TOLERANCE + MEMORY_PER_PEER * peers


def mebibytes(count: int) -> str:
    """``count`` bytes in MiB, for display."""
    return f"{count / 2**20:.1f} MiB"
