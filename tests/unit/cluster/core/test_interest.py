from __future__ import annotations

from qcfeed.cluster.core.interest import Interest
from qcfeed.model.symbol import Symbol

AAPL, MSFT = Symbol("AAPL"), Symbol("MSFT")


def round_of(interest: Interest, **answers: list[Symbol]) -> tuple[set[Symbol], set[Symbol]]:
    """What one round starts, and what nobody lists in it."""
    interest.begin()
    started: set[Symbol] = set()
    for gateway, symbols in answers.items():
        started |= interest.listed(gateway, symbols)
    return started, interest.end()


def test_what_any_gateway_lists_is_started_once() -> None:
    interest = Interest()
    assert round_of(interest, one=[AAPL], two=[AAPL, MSFT]) == ({AAPL, MSFT}, set())
    assert round_of(interest, one=[AAPL], two=[MSFT]) == (set(), set())
    assert interest.gateways == 2


def test_a_listed_symbol_starts_with_the_first_answer_and_not_at_the_end_of_the_round() -> None:
    interest = Interest()
    interest.begin()
    assert interest.listed("one", [AAPL]) == {AAPL}
    assert interest.listed("two", [AAPL, MSFT]) == {MSFT}


def test_a_refused_symbol_is_tried_again_only_in_the_next_round() -> None:
    interest = Interest()
    interest.begin()
    assert interest.listed("one", [AAPL]) == {AAPL}
    interest.wanted.discard(AAPL)
    assert interest.listed("two", [AAPL]) == set()
    interest.end()
    assert round_of(interest, one=[AAPL]) == ({AAPL}, set())


def test_a_symbol_that_nobody_lists_ends_only_if_nats_confirms_it() -> None:
    interest = Interest()
    round_of(interest, one=[AAPL, MSFT])
    assert round_of(interest, one=[MSFT]) == (set(), {AAPL})
    assert AAPL in interest.wanted
    assert interest.no_responders(AAPL)
    assert interest.wanted == {MSFT}


def test_no_responders_alone_is_a_hint_that_ends_nothing() -> None:
    interest = Interest()
    round_of(interest, one=[AAPL])
    assert not interest.no_responders(AAPL)
    assert AAPL in interest.wanted


def test_a_gateway_whose_answer_is_late_keeps_its_symbols() -> None:
    interest = Interest()
    round_of(interest, slow=[AAPL])
    assert round_of(interest) == (set(), {AAPL})  # NATS has a subscriber, so it does not answer
    assert round_of(interest, slow=[AAPL]) == (set(), set())


def test_a_request_after_the_question_makes_the_answer_too_old() -> None:
    interest = Interest()
    interest.requested(AAPL)
    round_of(interest)
    assert not interest.requested(AAPL)
    assert not interest.no_responders(AAPL)


def test_a_request_starts_a_symbol_once() -> None:
    interest = Interest()
    assert interest.requested(AAPL)
    assert not interest.requested(AAPL)
    assert round_of(interest, one=[AAPL]) == (set(), set())


def test_an_answer_between_question_and_hint_keeps_the_symbol() -> None:
    interest = Interest()
    interest.requested(AAPL)
    round_of(interest)
    interest.begin()
    interest.listed("one", [AAPL])
    assert not interest.no_responders(AAPL)


def test_a_former_owner_wants_nothing() -> None:
    interest = Interest()
    interest.requested(AAPL)
    interest.clear()
    assert not interest.wanted
    assert interest.end() == set()
