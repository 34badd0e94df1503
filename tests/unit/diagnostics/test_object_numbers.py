"""Numbers of objects: stable while they live, never used twice, and forgotten with them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc

from qcfeed.diagnostics import object_numbers
from qcfeed.diagnostics.object_numbers import number_of


class Thing:
    """Something that can be referred to weakly."""


def test_a_number_stays_and_no_other_object_gets_it() -> None:
    one, two = Thing(), Thing()
    assert number_of(one) == number_of(one)
    assert number_of(one) != number_of(two)
    before = {number_of(one)}
    for _ in range(100):  # most of them get the same id()
        assert number_of(Thing()) not in before
        before.add(number_of(one))


def test_nothing_is_kept_of_a_freed_object() -> None:
    known = object_numbers._known
    gc.collect()  # numbered objects of other tests may be in cycles
    before = len(known)
    things = [Thing() for _ in range(100)]
    for each in things:
        number_of(each)
    assert len(known) == before + 100
    del each, things
    assert len(known) == before


def test_an_object_never_gets_the_number_of_a_freed_one_at_its_place() -> None:
    freed, thing = Thing(), Thing()
    before = number_of(freed)
    left = object_numbers._known[id(freed)]
    del freed
    object_numbers._known[id(thing)] = left  # as if its callback had not run yet
    first = number_of(thing)
    assert first != before
    assert number_of(thing) == first


def test_what_cannot_be_referred_to_weakly_has_no_number() -> None:
    assert number_of([]) is None
    assert number_of(asyncio.TimerHandle) is not None


def test_threads_that_ask_at_once_get_one_number() -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in range(200):
            thing = Thing()
            assert len(set(pool.map(number_of, [thing] * 16))) == 1
