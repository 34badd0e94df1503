from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from qcfeed.diagnostics.long_lists import drained, spare_list


def is_young(container: object) -> bool:
    """Whether the next young garbage collection goes through it."""
    return any(each is container for each in gc.get_objects(generation=0))


def test_a_spare_list_is_old_for_the_garbage_collector() -> None:
    gc.collect()  # any program that has run for a while has seen one
    assert is_young([object()])
    with spare_list() as found:
        found += [object()]
        assert not is_young(found)


def test_a_spare_list_is_emptied_and_used_again() -> None:
    with spare_list() as found:
        found.append(1)
    assert found == []
    with spare_list() as again:
        assert again is found


def test_lists_in_use_at_the_same_time_are_different() -> None:
    blocks = [spare_list() for _ in range(10)]
    assert len({id(block.__enter__()) for block in blocks}) == 10
    for block in blocks:
        block.__exit__(None, None, None)


def test_after_an_exception_a_list_is_not_used_again() -> None:
    """A thread may still be adding to it."""
    with pytest.raises(ZeroDivisionError), spare_list() as found:
        raise ZeroDivisionError
    found.append("late")
    for _ in range(10):
        with spare_list() as other:
            assert other is not found
            assert other == []


def test_a_list_in_a_generator_that_is_not_continued_is_kept() -> None:
    used: list[list[int]] = []

    def numbers() -> Iterator[int]:
        with spare_list() as found:
            used.append(found)
            found += [1, 2, 3]
            yield from found

    for _ in numbers():
        break
    gc.collect()  # where a generator is not closed at once
    assert used == [[]]
    with spare_list() as again, spare_list() as another:
        assert again is used[0]
        assert another is not again, "it is kept once"


def test_drained_items_are_released_at_once() -> None:
    class Thing:
        pass

    things: list[Any] = [Thing() for _ in range(3)]
    refs = [weakref.ref(thing) for thing in things]
    seen = 0
    for thing in drained(things):
        assert thing is refs[2 - seen]()
        seen += 1
        del thing
        assert [ref() is not None for ref in refs] == [n < 3 - seen for n in range(3)]
    assert (seen, things) == (3, [])
