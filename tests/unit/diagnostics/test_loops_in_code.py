"""In what kind of loop a suspended coroutine is, read from the bytecode of this Python."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from qcfeed.diagnostics.loops_in_code import (
    MAX_ROUNDS,
    LoopBounds,
    bounds,
    calls_itself,
    rounds_left,
)


async def wait() -> None:
    await asyncio.sleep(3600)


def fail(error: type[Exception]) -> None:
    raise error


async def once() -> None:
    await wait()


async def after_a_loop() -> None:
    for _ in range(3):
        await asyncio.sleep(0)
    await wait()


async def inside_with_blocks() -> None:
    async with asyncio.timeout(3600), asyncio.Lock():
        await wait()


async def after_a_try_without_a_loop() -> None:
    try:
        fail(KeyError)
    except KeyError:
        await asyncio.sleep(0)
    except OSError:
        await asyncio.sleep(0)
    finally:
        await asyncio.sleep(0)
    await wait()


async def rounds_of_a_retry() -> None:
    for _ in range(5):
        try:
            fail(OSError)
        except OSError:
            await wait()


async def rounds_in_rounds() -> None:
    for _ in range(3):
        for _ in range(3):
            await wait()


async def for_ever() -> None:
    while True:
        await wait()


async def a_retry_for_ever() -> None:
    while True:
        try:
            await asyncio.sleep(0)
            fail(OSError)
        except OSError:
            await wait()


async def rounds_for_ever() -> None:
    while True:
        for _ in range(3):
            await wait()


async def over_a_generator() -> None:
    for _ in iter(lambda: 1, 2):
        await wait()


async def too_many_rounds() -> None:
    for _ in range(10 * MAX_ROUNDS):
        await wait()


async def numbers() -> AsyncIterator[int]:
    yield 1
    await wait()


async def over_an_async_generator() -> None:
    async for _ in numbers():
        await wait()


async def bounds_of(coroutine: Coroutine[Any, Any, None]) -> LoopBounds:
    task = asyncio.create_task(coroutine)
    for _ in range(10):
        await asyncio.sleep(0)
    found = bounds(task.get_coro())
    task.cancel()
    await asyncio.wait([task])
    return found


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (once, LoopBounds.NO_LOOP),
        (after_a_loop, LoopBounds.NO_LOOP),
        (inside_with_blocks, LoopBounds.NO_LOOP),
        (after_a_try_without_a_loop, LoopBounds.NO_LOOP),
        (rounds_of_a_retry, LoopBounds.ROUNDS),
        (rounds_in_rounds, LoopBounds.ROUNDS),
        (for_ever, LoopBounds.UNKNOWN),
        (a_retry_for_ever, LoopBounds.UNKNOWN),
        (rounds_for_ever, LoopBounds.UNKNOWN),
        (over_a_generator, LoopBounds.UNKNOWN),
        (too_many_rounds, LoopBounds.UNKNOWN),
        (over_an_async_generator, LoopBounds.UNKNOWN),
    ],
)
async def test_the_loops_around_an_await(
    function: Callable[[], Coroutine[Any, Any, None]], expected: LoopBounds
) -> None:
    assert await bounds_of(function()) is expected


async def test_a_list_is_a_bounded_loop_too() -> None:
    async def over_a_list(items: list[int]) -> None:
        for _ in items:
            await wait()

    expected = LoopBounds.UNKNOWN if sys.version_info >= (3, 15) else LoopBounds.ROUNDS
    assert await bounds_of(over_a_list([1, 2, 3])) is expected


async def test_a_coroutine_that_is_not_suspended_is_unknown() -> None:
    coroutine = once()
    coroutine.close()
    assert bounds(coroutine) is LoopBounds.UNKNOWN


@pytest.mark.parametrize(
    ("function", "left"),
    [(once, 0), (rounds_of_a_retry, 4), (rounds_in_rounds, 8), (for_ever, None)],
)
async def test_the_rounds_that_are_left(
    function: Callable[[], Coroutine[Any, Any, None]], left: int | None
) -> None:
    task = asyncio.create_task(function())
    for _ in range(10):
        await asyncio.sleep(0)
    assert rounds_left(task.get_coro()) == left
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize(
    ("chain", "is_loop"),
    [
        ("", False),
        ("aa", False),
        ("aaa", True),
        ("main a a a sleep", True),
        ("ababa", False),
        ("main a b a b a b", True),
        ("wrapper f wrapper g wrapper h", False),
        ("? ? ?", False),
    ],
)
def test_functions_that_call_each_other_again_and_again_are_a_loop(
    chain: str, is_loop: bool
) -> None:
    """Three rounds count; a decorator of three functions is no round."""
    names = chain.split() if " " in chain else list(chain)
    codes = {name: compile("0", name, "eval").replace(co_name=name) for name in names}
    assert calls_itself([None if name == "?" else codes[name] for name in names]) is is_loop
