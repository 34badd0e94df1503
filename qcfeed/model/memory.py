"""The answers of ``qcfeed memory``: what a program's memory consists of, and which lines allocate."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from qcfeed.model.answer import Answer
from qcfeed.model.status import Memory


class MemoryKind(StrEnum):
    """What a part of the memory is."""

    TASKS = "tasks"
    """The tasks of one spawn location, with what they alone hold."""
    STORE = "store"
    """A place where the service is known to keep data."""
    TYPE = "type"
    """Other objects of one type."""
    FILES = "files"
    """The program's and its libraries' own files."""


class MemoryPart(msgspec.Struct, kw_only=True):
    """A part of the memory. No two parts count the same object.

    ``count``: tasks, or a store's items; null for types. ``sampled``: tasks that were measured.
    ``grown_bytes``: how much it grew between two looks; null after one look.
    """

    kind: MemoryKind
    name: str
    function: str = ""
    count: int | None = None
    sampled: int | None = None
    bytes: int
    grown_bytes: int | None = None
    note: str = ""

    @property
    def each_bytes(self) -> float | None:
        """Bytes of one task or item, on average."""
        return self.bytes / self.count if self.count else None


class LargeObject(msgspec.Struct, kw_only=True):
    """An object in which memory accumulates, and the way that leads to it: ``app.server.seen``.

    ``items``: null if it is not a container. Its bytes are among those of the types and stores.
    """

    reached_by: str
    type: str
    items: int | None
    bytes: int
    grown_bytes: int | None = None


class MemoryUse(Answer, kw_only=True, tag="qcfeed.memory/1"):
    """What the memory is made of. Sizes of tasks and objects are estimates from samples.

    ``complete``: whether everything was visited; if not, the figures of types are lower bounds.

    ``explained_bytes``: the sum of ``parts``. ``unseen``: what cannot be seen, in sentences.
    ``window_s``: the time between two looks; null after one look.
    """

    memory: Memory
    explained_bytes: int
    live_tasks: int
    parts: list[MemoryPart]
    largest: list[LargeObject]
    unseen: list[str]
    complete: bool = True
    window_s: float | None = None
    grown_bytes: int | None = None
    """How much resident memory grew between the two looks."""

    @property
    def explained_share(self) -> float:
        """The share of resident memory that the parts explain; at most 1, as they are estimates."""
        return min(1.0, self.explained_bytes / max(1, self.memory.resident_bytes))


class TraceRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Trace allocations for ``seconds``. ``limit``: lines to list. ``frames``: calls to record of each."""

    seconds: float = 30.0
    frames: int = 1
    limit: int = 20
    timeout_s: float = 60.0


class AllocatingLine(msgspec.Struct, kw_only=True):
    """A line of code, and the memory that it allocated during the trace and that is still in use."""

    location: str
    source: str
    blocks: int
    bytes: int


class MemoryTrace(Answer, kw_only=True, tag="qcfeed.memory.trace/1"):
    """Allocations that were made during a trace and not freed, by line, most bytes first.

    ``stopped_early``: why it ended before its time; empty if it did not. ``overhead_bytes``: the memory
    that the trace itself took. ``grown_bytes``: how much resident memory grew meanwhile.
    """

    seconds: float
    total_bytes: int
    grown_bytes: int
    lines: list[AllocatingLine]
    other_bytes: int
    overhead_bytes: int
    stopped_early: str = ""
