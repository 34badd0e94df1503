"""References are followed without executing anything of the program, and large containers are not."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from typing import Any

import pytest

from qcfeed.diagnostics import chain
from qcfeed.diagnostics.references import (
    MAX_ITEMS,
    attributes,
    held,
    instance_dict,
    own,
    referents,
)


class Thing:
    """Something to be found."""


class Plain:
    def __init__(self, thing: object) -> None:
        self._lock = thing


class Slotted:
    __slots__ = ("__weakref__", "_empty", "_lock")

    def __init__(self, thing: object) -> None:
        self._lock = thing


class Derived(Slotted):
    """With a dict beside the slots of its base."""


class Hidden:
    """Its ``__dict__`` is not what the class says it is."""

    __dict__ = property(lambda _: pytest.fail("it was executed"))  # type: ignore[assignment]


def is_found(thing: object, owner: object) -> bool:
    return any(each is thing for each in referents(owner))


@pytest.mark.parametrize("kind", [Plain, Slotted, Derived])
@pytest.mark.parametrize("was_looked_at", [False, True])
def test_attributes_are_followed(kind: type[Any], was_looked_at: bool) -> None:
    thing = Thing()
    owner = kind(thing)
    if was_looked_at:  # from then on, the instance has a dict object of its own
        getattr(owner, "__dict__", None)
    assert is_found(thing, owner)
    assert not is_found(Thing(), owner)


async def test_variables_are_found_also_those_of_inner_functions_and_with_blocks() -> None:
    plain, inner, managed = Thing(), Thing(), contextlib.AsyncExitStack()

    async def hold(plain: Thing, inner: Thing) -> None:
        def use() -> object:
            return inner, later

        async with managed:
            await asyncio.sleep(3600)
        later = use()

    task = asyncio.create_task(hold(plain, inner))
    await asyncio.sleep(0)
    found = held(own(chain.links(task.get_coro())))
    for thing in (plain, inner, managed):
        assert any(each is thing for each in found)
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset, deque])
def test_items_are_followed_up_to_a_limit(kind: Any) -> None:
    things = [Thing() for _ in range(MAX_ITEMS)]
    for owner in (kind(things), Plain(kind(things))):
        assert is_found(things[-1], owner)
    for owner in (kind([*things, Thing()]), Plain(kind([*things, Thing()]))):
        assert not is_found(things[-1], owner)


@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_a_dict_is_a_container_as_well(kind: Any) -> None:
    things = {n: Thing() for n in range(MAX_ITEMS)}
    assert is_found(things[0], Plain(kind(things)))
    assert not is_found(things[0], Plain(kind(things | {-1: Thing()})))


def test_an_instance_with_many_attributes_is_no_register() -> None:
    owner = Plain(Thing())
    for number in range(MAX_ITEMS + 1):
        setattr(owner, f"a{number}", number)
    assert is_found(vars(owner)["_lock"], owner)


def test_what_leads_to_the_whole_program_is_not_followed() -> None:
    async def sleep_long() -> None:
        await asyncio.sleep(0)

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        loop.extra = thing = Thing()  # type: ignore[attr-defined]
        assert not is_found(thing, loop)
    coroutine = sleep_long()
    for each in (asyncio, Plain, sleep_long, coroutine, coroutine.cr_frame):
        assert list(referents(each)) == []
    coroutine.close()


def test_attributes_by_name_are_those_of_the_dict_and_of_the_slots() -> None:
    derived = Derived(1)
    derived.extra = 2  # type: ignore[attr-defined]
    assert dict(attributes(derived)) == {"_lock": 1, "extra": 2}
    assert dict(attributes(object())) == {}
    assert instance_dict(Slotted(1)) is None


def test_a_class_that_hides_its_dict_is_not_executed() -> None:
    hidden = Hidden()
    assert list(attributes(hidden)) == []
    assert instance_dict(hidden) is None
