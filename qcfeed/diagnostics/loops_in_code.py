"""Whether a suspended function goes on for a bounded time: is it inside a loop, and does that end?

It is read from the bytecode. An instruction is in a loop if control can come back to it, by jumps and
by exceptions that are caught. Loops of which every round passes a ``for`` over a range, list, tuple,
set or dict have as many rounds as that has items left; the number of rounds of others is not known.
"""

from __future__ import annotations

import dis
import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from types import CodeType
from typing import Any, NamedTuple

from qcfeed.diagnostics import chain

MAX_ROUNDS = 1_000
"""Rounds that a ``for`` loop may have left to count as bounded."""
REPEATS = 3
"""Rounds of calls from which functions that await each other are a loop: two may be a coincidence."""
_JUMPS = frozenset([*dis.hasjrel, *dis.hasjabs, *getattr(dis, "hasjump", ())])
_AWAIT = "JUMP_BACKWARD_NO_INTERRUPT"
"""The jump backwards inside ``await``, which is not a loop of the program."""
_LEAVES = ("RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE")
"""Instructions other than jumps after which the next one is not executed."""
_ALWAYS_JUMPS = ("JUMP_FORWARD", "JUMP_BACKWARD", _AWAIT)
_ITERABLES: tuple[Iterable[object], ...] = (
    range(1),
    range(1 << 70),
    [],
    (),
    {},
    {}.values(),
    {}.items(),
    set(),
)
_ITERATORS = tuple(type(iter(each)) for each in _ITERABLES)
"""Iterators whose number of rounds is known, where the interpreter shows them: Python 3.15 has none for
some lists and tuples."""


Flow = Mapping[int, set[int]]
"""The offset of each instruction, with those of the instructions that may come next."""


class LoopBounds(Enum):
    """The loops that a function is suspended in.

    ``NO_LOOP``: none. ``ROUNDS``: only loops that have few rounds left.
    ``UNKNOWN``: a ``while`` loop, or another one whose end cannot be predicted."""

    NO_LOOP = "no loop"
    ROUNDS = "rounds"
    UNKNOWN = "unknown"


class EnclosingLoops(NamedTuple):
    """The loops around an instruction: how many ``for`` loops, and whether there is any other."""

    fors: int
    others: bool


def bounds(link: Any) -> LoopBounds:
    """In what kind of loop a suspended link of an await chain is.

    Cost: 2 us, some milliseconds once per place in the code, and 150-180 bytes that stay with the link
    (chain.frame).
    """
    code, frame = chain.code(link), chain.frame(link)
    if code is None or frame is None or chain.is_compiled(link):
        return LoopBounds.UNKNOWN
    around = loops_around(code, frame.f_lasti)
    if around == EnclosingLoops(0, others=False):
        return LoopBounds.NO_LOOP
    bounded = sum(_ends_soon(each) for each in chain.held(link))
    return LoopBounds.ROUNDS if bounded >= around.fors and not around.others else LoopBounds.UNKNOWN


def rounds_left(link: Any) -> int | None:
    """How many further rounds the loops around it have; 0 outside a loop, None if that is not known.

    Loops inside each other count as if each round of the outer one had as many rounds as the inner one has left.
    Cost: as for ``bounds``.
    """
    kind = bounds(link)
    if kind is not LoopBounds.ROUNDS:
        return 0 if kind is LoopBounds.NO_LOOP else None
    left = (operator.length_hint(each, 0) for each in chain.held(link) if _ends_soon(each))
    return math.prod(1 + each for each in left) - 1


def calls_itself(codes: Sequence[CodeType | None]) -> bool:
    """Whether functions that await each other have come back to the same ones REPEATS times: a loop made of calls.

    A decorator that stands in between is no repetition: the functions that it decorates differ.
    """
    number = len(codes)
    for period in range(1, number // REPEATS + 1):
        for start in range(number - REPEATS * period + 1):
            first, *others = (
                codes[start + n * period : start + (n + 1) * period] for n in range(REPEATS)
            )
            if None not in first and all(each == first for each in others):
                return True
    return False


@lru_cache(1024)
def loops_around(code: CodeType, offset: int) -> EnclosingLoops:
    """The loops around the instruction at ``offset``, from the outermost on."""
    flow = _flow(code)
    names = {each.offset: each.opname for each in dis.get_instructions(code)}
    for number in range(len(flow)):
        loop = _loop_of(flow, offset)
        if not loop:
            return EnclosingLoops(number, others=False)
        entries = {to for at, after in flow.items() if at not in loop for to in after & loop}
        if {names[each] for each in entries} != {"FOR_ITER"}:
            return EnclosingLoops(number, others=True)
        # Cut the loop open at its head, and look for the next one further in.
        flow = {at: after - entries for at, after in flow.items() if at not in entries}
    return EnclosingLoops(0, others=True)


def _loop_of(flow: Flow, offset: int) -> set[int]:
    """The instructions from which control can go to ``offset`` and come back; empty outside a loop."""
    ahead = _reachable(flow, offset)
    return (
        {each for each in ahead if offset in _reachable(flow, each)} if offset in ahead else set()
    )


def _flow(code: CodeType) -> Flow:
    """For each instruction those that may come next."""
    instructions = list(dis.get_instructions(code))
    targets = {each.offset: each.argval for each in instructions if each.opcode in _JUMPS}
    flow: dict[int, set[int]] = {each.offset: set() for each in instructions}
    for each, following in zip(instructions, [*instructions[1:], None], strict=True):
        if each.opname == _AWAIT:
            # It jumps back to SEND. What matters is where SEND continues once the await is over.
            flow[each.offset].add(targets.get(each.argval, each.argval))
        elif each.opcode in _JUMPS:
            flow[each.offset].add(each.argval)
        if following is not None and each.opname not in (*_LEAVES, *_ALWAYS_JUMPS):
            flow[each.offset].add(following.offset)
    for entry in getattr(dis.Bytecode(code), "exception_entries", ()):
        for offset, after in flow.items():
            if entry.start <= offset < entry.end:
                after.add(entry.target)
    return flow


def _reachable(flow: Flow, start: int) -> set[int]:
    """What can be reached from an instruction; itself only if control can come back to it."""
    found: set[int] = set()
    ahead = [start]
    while ahead:
        fresh = flow[ahead.pop()] - found
        found |= fresh
        ahead += fresh
    return found


def _ends_soon(iterator: Any) -> bool:
    return type(iterator) in _ITERATORS and operator.length_hint(iterator, MAX_ROUNDS) < MAX_ROUNDS
