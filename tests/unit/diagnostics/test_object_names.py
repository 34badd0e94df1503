"""An object's name: the attribute or global variable that refers to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from qcfeed.diagnostics import chain
from qcfeed.diagnostics.object_names import attribute_name, global_names

STOP = object()


class Plain:
    def __init__(self, thing: object) -> None:
        self._lock = thing


class Slotted:
    __slots__ = ("__weakref__", "_empty", "_lock")

    def __init__(self, thing: object) -> None:
        self._lock = thing


class Derived(Slotted):
    """With a dict beside the slots of its base."""


class Loud:
    """Fails the test if anything of it is executed."""

    def __init__(self, thing: object) -> None:
        self.__dict__["_lock"] = thing

    @property
    def lock(self) -> Any:
        raise AssertionError("a property was executed")

    def __getattribute__(self, name: str) -> Any:
        if name == "__dict__":
            return object.__getattribute__(self, name)
        raise AssertionError(f"{name} was looked up")

    def __eq__(self, other: object) -> bool:
        raise AssertionError("it was compared")

    __hash__ = None  # type: ignore[assignment]


async def hold(owner: object, filler: object = None) -> None:
    await asyncio.sleep(3600)


@pytest.mark.parametrize("container", [lambda each: {"AAPL": each}, lambda each: [1, each]])
async def test_an_item_of_an_attribute(container: Callable[[object], object]) -> None:
    thing = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(hold(Plain(container(thing))))
    await asyncio.sleep(0)
    links = chain.links(task.get_coro())
    assert attribute_name(thing, links) == "Plain._lock[...]"
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("kind", [Plain, Slotted, Derived, Loud])
@pytest.mark.parametrize("was_looked_at", [False, True])
async def test_an_attribute_of_what_a_coroutine_holds(kind: type[Any], was_looked_at: bool) -> None:
    thing = object()
    owner = kind(thing)
    if was_looked_at:  # from then on, the instance has a dict object of its own
        getattr(owner, "__dict__", None)
    task = asyncio.create_task(hold(owner))
    await asyncio.sleep(0)
    assert attribute_name(thing, chain.links(task.get_coro())) == f"{kind.__name__}._lock"
    assert attribute_name(object(), chain.links(task.get_coro())) == ""
    task.cancel()
    await asyncio.wait([task])


def test_a_global_variable() -> None:
    other = object()
    assert global_names([other, STOP, None]) == {id(STOP): f"{__name__}.STOP"}


def test_nothing_has_no_name() -> None:
    assert attribute_name(None, []) == ""
    assert global_names([None]) == {}
