"""Removes cancelled timers from an event loop's heap a few at a time.

asyncio leaves a cancelled timer in the heap, and rebuilds the whole heap in one step once more than
half of it is cancelled. After the cancellation of a million sleeping tasks, that step stalls the loop
for a quarter of a second. The design is explained in docs/adr/0025.
"""

# ruff: noqa: SLF001 - asyncio has no public access to its timers; can_remove_gradually checks them.

from __future__ import annotations

import asyncio
import heapq
import time
from asyncio import BaseEventLoop, TimerHandle
from typing import Any, Self

LEFT_TO_ASYNCIO = 500
"""Cancelled timers that asyncio may remove by itself: it takes two milliseconds at most."""
_SAMPLE = 100
"""Timers of a heap that are sampled to tell whether most of them are cancelled."""
AHEAD_S = 0.5
_AT_ONCE = 200
"""Timers go back to the loop half a second before they are due, at most 200 (0.5 ms) in each turn of
the loop. So none is late, even if 50,000 are due at the same time."""
SLICE = 50
"""Timers that are handled between two looks at the clock."""
TURN_S = 0.0005
"""Seconds of one turn of the loop that the removal may take."""
_OFFSET = 1 << 40
"""Subtracted from the loop's count of cancelled timers, so that the count never exceeds half of the heap.
The loop goes on counting, so adding it again gives the right count."""

_METHODS = ("_run_once", "call_at", "_timer_handle_cancelled")
_ATTRIBUTES = ("_scheduled", "_timer_cancelled_count")


def can_remove_gradually(loop: Any) -> bool:
    """Whether ``loop`` keeps its timers as asyncio's own loops do; uvloop does not."""
    if not isinstance(loop, BaseEventLoop):
        return False
    own = vars(loop)
    return (
        all(getattr(type(loop), name) is getattr(BaseEventLoop, name, None) for name in _METHODS)
        and not any(name in own for name in _METHODS)
        and {*_ATTRIBUTES} <= {*BaseEventLoop._run_once.__code__.co_names}  # type: ignore[attr-defined]
        and [type(own.get(name)) for name in _ATTRIBUTES] == [list, int]
        and all(hasattr(TimerHandle, name) for name in ("_when", "_scheduled", "_cancelled"))
    )


def _most_are_cancelled(heap: list[Any]) -> bool:
    """Whether the heap is large and more than half of it is cancelled. asyncio's own count does not tell
    this: it includes timers that have left the heap."""
    some = heap[:: 1 + len(heap) // _SAMPLE]
    return len(heap) > LEFT_TO_ASYNCIO and sum(timer._cancelled for timer in some) > len(some) // 2


class GradualRemoval:
    """While this block runs, the loop does not rebuild its heap of timers, however many are cancelled.

    Use it around the cancellation of many tasks, in the loop that they belong to::

        async with GradualRemoval(loop):
            ...

    Once there are more than 500 cancelled timers, the heap is set aside and the loop continues with
    an empty one. Timers go back to the loop shortly before they are due. At the end of the block the
    cancelled timers are removed and all others go back, in steps of half a millisecond. The block
    waits for that, unless an exception leaves it: then the removal finishes by itself while the
    loop runs. On a loop for which ``can_remove_gradually`` is false, the block has no effect.

    Cost: one callback in every turn of the loop, and 1 us for each timer that was set aside.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop: Any = loop
        self._in_block = False
        self._active = False
        """From the beginning of the block until all timers are back."""
        self._heaps: list[list[Any]] = []
        """Set aside. Each timer is in one of these or in the loop's own heap, never in two."""

    async def __aenter__(self) -> Self:
        if can_remove_gradually(self._loop):
            self._in_block = self._active = True
            self._loop._timer_cancelled_count -= _OFFSET
            self._loop.call_soon(self._turn)
        return self

    async def __aexit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._in_block = False
        while self._active and error is None:  # noqa: ASYNC110 - _turn removes some in each turn
            await asyncio.sleep(0)

    def _turn(self) -> None:
        """Once in every turn of the loop."""
        if not self._active:
            return  # _give_up() ran after this call was scheduled
        try:
            if self._in_block:
                self._set_aside_if_many()
            self._return_due()
            if not self._in_block:
                self._remove_some()
            if self._in_block or self._heaps:
                self._loop.call_soon(self._turn)
            else:
                self._end()
        except BaseException:
            self._give_up()
            raise

    def _set_aside_if_many(self) -> None:
        if self._heaps:
            if _most_are_cancelled(self._loop._scheduled):
                self._set_aside()
        # While there is another block, its offset is in the count, and it has set the heap aside.
        elif self._loop._timer_cancelled_count + _OFFSET > LEFT_TO_ASYNCIO:
            self._set_aside()

    def _set_aside(self) -> None:
        self._heaps.append(self._loop._scheduled)
        self._loop._scheduled = []

    def _return_due(self) -> None:
        soon = self._loop.time() + AHEAD_S
        for heap in self._heaps:
            for _ in range(1 + _AT_ONCE // len(self._heaps)):
                if not heap or heap[0]._when > soon:
                    break
                self._return(heap[0])
                heapq.heappop(heap)

    def _remove_some(self) -> None:
        until = time.perf_counter() + TURN_S
        while self._heaps:
            heap = self._heaps[-1]  # without its last elements it is still a heap
            for timer in heap[-SLICE:]:
                self._return(timer)
            del heap[-SLICE:]
            if not heap:
                self._heaps.pop()
            if time.perf_counter() > until:
                break
        if not self._heaps and _most_are_cancelled(self._loop._scheduled):  # meanwhile
            self._set_aside()

    def _return(self, timer: Any) -> None:
        """To the loop's heap; a cancelled one is forgotten. The caller takes it from its own heap
        afterwards, so an exception in between (KeyboardInterrupt) loses no timer."""
        loop = self._loop
        if timer._cancelled:
            timer._scheduled = False
            loop._timer_cancelled_count -= 1
        else:
            heapq.heappush(loop._scheduled, timer)

    def _end(self) -> None:
        self._active = False
        self._loop._timer_cancelled_count += _OFFSET

    def _give_up(self) -> None:
        """Something failed: all timers go back in one step, and asyncio continues as it always does."""
        loop = self._loop
        there = set(map(id, loop._scheduled))
        aside = [timer for heap in self._heaps for timer in heap if id(timer) not in there]
        loop._scheduled += aside
        heapq.heapify(loop._scheduled)
        self._end()
