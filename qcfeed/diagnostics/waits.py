"""What a task waits on, as far as any thread can see it cheaply.

It follows the await chain (chain.py) to the first function that has a rule (wait_rules.py); if there
is none, it looks at the future at the end of the chain. It never reads ``f_locals``.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from qcfeed.diagnostics import chain, wait_rules
from qcfeed.diagnostics.code_origin import is_library
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.sampling import sample_sizes
from qcfeed.diagnostics.scan import by_site
from qcfeed.diagnostics.site import AnyTask, short_path
from qcfeed.diagnostics.task_info import TaskRef

TOP = 5
"""Kinds of waits that are listed for a location; the rest are counted as ``other``."""

_short = lru_cache(256)(short_path)


@dataclass(frozen=True, slots=True)
class Wait:
    """What one task waits on; ``str()`` renders it for people.

    ``kind``: ``sleeping``, ``Queue.get``, ``socket read``, ``future``... or a state of the task:
    ``ready`` (waits for its turn in the loop), ``running``, ``ended``, ``gone`` (freed), ``unknown``.
    ``detail``: for example the time left, the length of the queue, or the peer. ``at``: the innermost
    frame of the program itself, as ``file:line function``; if there is none, the innermost that is
    not asyncio's. ``timeout_s``: seconds until the nearest ``timeout()`` or ``wait_for()`` ends it.
    """

    kind: str
    detail: str = ""
    at: str = ""
    timeout_s: float | None = None

    def __str__(self) -> str:
        text = _text(self.kind, self.detail)
        if self.timeout_s is not None:
            text += f", timeout in {wait_rules.seconds(self.timeout_s)}"
        return f"{text} at {self.at}" if self.at else text


class Waits(NamedTuple):
    """What the tasks of a location wait on: kinds and numbers, most frequent first.

    ``sampled``: how many live tasks were looked at: all of them, or a random sample.
    """

    counts: list[tuple[str, int]]
    sampled: int


class Sleep(NamedTuple):
    """A sleep: seconds until it ends, and its whole length in seconds."""

    left_s: float
    whole_s: float


class RawWait(NamedTuple):
    """A wait before its details are looked up.

    ``kind``: empty if only the future can tell. ``links``: the await chain. ``waiter``: the future at its
    end; None for a task that does not wait. ``rule`` is that of ``link``. It holds coroutines of the
    program, so keep it only briefly.
    """

    kind: str
    links: list[Any]
    waiter: Any = None
    rule: wait_rules.Rule | None = None
    link: Any = None


_GONE, _ENDED, _RUNNING, _READY = (
    RawWait(kind, []) for kind in ("gone", "ended", "running", "ready")
)


def wait(task: AnyTask | None) -> Wait:
    """What ``task`` waits on, and where. Never raises. From any thread.

    It cannot see into a coroutine that is written in C, nor what a plain future stands for.
    Cost: 6-15 us, and 150-180 bytes that stay with a coroutine until it ends (the frame object that
    the line number needs). So call it for the tasks that a person looks at, not for all.
    """
    try:
        seen = look(task)
        if task is None or not seen.links:
            return Wait(seen.kind)
        kind, detail = _kind_and_detail(seen, task)
        return Wait(kind, detail, own_line(seen.links), timeout(seen.links, task))
    except Exception:  # noqa: BLE001
        return Wait("unknown")


def state(task: AnyTask | None) -> str:
    """A short description for tables: ``sleeping 3.2 s``, ``Queue.get (0 of 10)``, ``running``...

    A wait without a rule is described by its location: ``future at feed.py:83 pump``.
    Never raises: a task that cannot be read is ``unknown``. From any thread. Cost: 2-4 us.
    """
    try:
        seen = look(task)
        if task is None or seen.waiter is None:
            return seen.kind
        kind, detail = _kind_and_detail(seen, task)
        text = _text(kind, detail)
        return f"{text} at {own_line(seen.links)}" if kind == "future" and seen.links else text
    except Exception:  # noqa: BLE001
        return "unknown"


def sleep(task: AnyTask | None) -> Sleep | None:
    """The sleep that a task is in; None if it waits on something else or cannot be read. Cost: 2 us."""
    try:
        seen = look(task)
        if task is None or seen.kind != "sleeping":
            return None
        left = wait_rules.left(wait_rules.timer(seen.link), task)
        return Sleep(left, max(left, float(wait_rules.first(seen.link, (int, float)))))
    except Exception:  # noqa: BLE001
        return None


def kind(task: AnyTask | None) -> str:
    """Only the kind of ``wait(task)``. Never raises. From any thread. Cost: 1 us, nothing lasting."""
    try:
        seen = look(task)
        return seen.kind or wait_rules.of_future(seen.waiter)[0]
    except Exception:  # noqa: BLE001
        return "unknown"


def kind_in_function(task: AnyTask | None) -> str:
    """Like ``kind``, and for a wait without a rule also the function: ``future in Feed.pump``.

    Empty for a task that has ended. Never raises. From any thread. Cost: 2 us, nothing lasting.
    """
    try:
        seen = look(task)
        if seen is _ENDED or seen is _GONE:
            return ""
        kind = seen.kind or wait_rules.of_future(seen.waiter)[0]
        own = own_link(seen.links) if kind == "future" else None
    except Exception:  # noqa: BLE001
        return "unknown"
    # By function, not by line. A line needs a frame object, which stays with the coroutine, and tens
    # of thousands of new objects would trigger a full garbage collection, which stops the watched loop.
    return kind if own is None else f"future in {own.__qualname__}"


def mentions(task: AnyTask | None, word: str) -> bool:
    """Whether ``state(task)`` contains this word, in upper or lower case.

    Cost: 1 us if the kind contains it, else 2-4 us. A line number costs a frame object that stays with
    the coroutine (see ``wait``), so it is looked up only for a word with a colon, as in ``feed.py:83``.
    """
    try:
        seen = look(task)
        wanted = word.casefold()
        if task is None or seen.waiter is None or wanted in seen.kind.casefold():
            return wanted in seen.kind.casefold()
        kind, detail = _kind_and_detail(seen, task)
        if wanted in _text(kind, detail).casefold():
            return True
        if kind != "future" or not seen.links:
            return False
        return wanted in (own_line(seen.links) if ":" in word else _in(seen.links)).casefold()
    except Exception:  # noqa: BLE001
        return word.casefold() in "unknown"


def by_location(
    ledger: Ledger, sample: int = 500, *, exact: bool = False
) -> dict[tuple[str, str], Waits]:
    """What the live tasks of each spawn location wait on, by location and function, as in a snapshot.

    A random sample of about ``sample`` tasks is looked at: all tasks of small locations, some of large
    ones. ``exact``: look at all tasks. From any thread, in slices that let the loop run.
    Cost: 2 us per sampled task and 0.3 us per other task; nothing lasting.
    """
    live: dict[tuple[str, str], list[TaskRef]] = {}
    for site, refs in by_site(ledger).items():
        live.setdefault((site.location, site.function), []).extend(refs)
    taken = sample_sizes([len(refs) for refs in live.values()], sample)
    found = {}
    for (key, refs), share in zip(live.items(), taken, strict=True):
        some = refs if exact or share == len(refs) else random.sample(refs, share)
        found[key] = _count(
            kind_in_function(ref()) for part in ledger.turns.slices(some) for ref in part
        )
    return found


def _count(kinds: Iterable[str]) -> Waits:
    counted = Counter(kind for kind in kinds if kind)
    top = counted.most_common(TOP)
    rest = counted.total() - sum(number for _, number in top)
    return Waits([*top, ("other", rest)] if rest else top, counted.total())


def look(task: AnyTask | None) -> RawWait:
    """What a task waits on, without details; ``kind`` is empty if only the future can tell.

    May raise, because task and coroutine classes of the program may raise anything.
    """
    if task is None:
        return _GONE
    if task.done():
        return _ENDED
    if asyncio.current_task(task.get_loop()) is task:
        return _RUNNING
    waiter = getattr(task, "_fut_waiter", None)
    if waiter is None or waiter.done():
        return _READY
    links = chain.links(task.get_coro())
    if links and _is_wait_for(links[-1]):
        links, waiter = _through_wait_for(links, waiter)
    for link in links:
        rule = wait_rules.rule_of(link)
        if rule is not None:
            return RawWait(rule.kind, links, waiter, rule, link)
    return RawWait("", links, waiter)


def _kind_and_detail(seen: RawWait, task: AnyTask) -> tuple[str, str]:
    """Kind and detail. No detail if the objects are not as the rule expects them."""
    if seen.rule is None:
        return wait_rules.of_future(seen.waiter)
    try:
        return seen.kind, seen.rule.detail(seen.link, task)
    except Exception:  # noqa: BLE001
        return seen.kind, ""


def _through_wait_for(links: list[Any], waiter: Any) -> tuple[list[Any], Any]:
    """On 3.11 ``wait_for`` wraps what it waits for in a task; follow the chain into that task."""
    while len(links) < chain.DEPTH and _is_wait_for(links[-1]):
        awaited = wait_rules.first(links[-1], asyncio.Future)
        inner = chain.links(awaited.get_coro()) if isinstance(awaited, asyncio.Task) else []
        if not inner or awaited.done():
            return links, awaited
        links = links + inner
        waiter = getattr(awaited, "_fut_waiter", None)
    return links, waiter


def _is_wait_for(link: Any) -> bool:
    if link.__qualname__ != "wait_for":
        return False
    code = chain.code(link)
    return code is not None and code.co_filename.endswith("asyncio/tasks.py")


def _text(kind: str, detail: str) -> str:
    if kind == "sleeping" and detail:
        return f"{kind} {detail}"
    return f"{kind} ({detail})" if detail else kind


def timeout(links: list[Any], task: AnyTask) -> float | None:
    """Seconds until the nearest ``timeout()`` or ``wait_for()`` in a task's chain ends its wait."""
    ends: list[float] = []
    for link in links:
        for thing in chain.held(link):
            # An `async with` block holds its exit method: a bound method up to Python 3.13, a function
            # and the context manager itself from 3.14 on.
            timeout = thing if isinstance(thing, asyncio.Timeout) else chain.bound_to(thing)
            if isinstance(timeout, asyncio.Timeout) and _is_active(timeout):
                ends.append(wait_rules.left(timeout, task))
        if link.__qualname__ in ("wait_for", "_wait"):
            handle = wait_rules.timer(link)
            if handle is not None:
                ends.append(wait_rules.left(handle, task))
    return min(ends, default=None)


def _is_active(timeout: asyncio.Timeout) -> bool:
    """Whether its block is entered and not left. A variable may still hold a timeout that is over."""
    # Only repr() shows the state without a private attribute.
    return timeout.when() is not None and "[active]" in repr(timeout)


def own_link(links: list[Any]) -> Any:
    """The innermost link of the program itself, else of a library, else of asyncio; None if none."""
    known = [(link, code.co_filename) for link in links if (code := chain.code(link))]
    interpreted = [(link, file) for link, file in known if not chain.is_compiled(link)]
    own = [link for link, file in interpreted if not is_library(file)]
    near = [link for link, file in interpreted if "/asyncio/" not in file]
    candidates = own or near or [link for link, _ in known]
    return candidates[-1] if candidates else None


def _in(links: list[Any]) -> str:
    """Like ``own_line``, without the line."""
    link = own_link(links)
    code = chain.code(link)
    return "" if code is None else f"{_short(code.co_filename)} {code.co_qualname}"


def own_line(links: list[Any]) -> str:
    """``file:line function`` of ``own_link``; empty if there is none. Cost: see ``wait``."""
    link = own_link(links)
    code = chain.code(link)
    if code is None:
        return ""
    frame = chain.frame(link)
    line = (frame and frame.f_lineno) or code.co_firstlineno  # compiled code has no line
    return f"{_short(code.co_filename)}:{line} {code.co_qualname}"
