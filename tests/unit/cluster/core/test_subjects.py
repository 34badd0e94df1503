from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcfeed.cluster.core import subjects
from qcfeed.errors import InvalidSymbolError
from qcfeed.model import symbol as symbols
from qcfeed.model.symbol import Symbol

valid = (
    st.from_regex(re.compile(r"[A-Z0-9][A-Z0-9.\-]{0,15}", re.ASCII), fullmatch=True)
    .filter(lambda text: ".." not in text)
    .map(symbols.parse)
)


def test_a_symbol_with_a_dot_is_one_token() -> None:
    assert subjects.quotes(Symbol("BRK.B")) == "qc.q.BRK_B"


@given(valid)
def test_every_symbol_is_one_token_that_leads_back_to_it(symbol: Symbol) -> None:
    token = subjects.token(symbol)
    assert re.fullmatch(r"[A-Z0-9_\-]+", token)
    assert subjects.symbol_of(token) == symbol


@given(valid, valid)
def test_two_symbols_have_two_tokens(one: Symbol, other: Symbol) -> None:
    assert (subjects.token(one) == subjects.token(other)) == (one == other)


@given(st.text(max_size=20))
def test_text_that_is_no_symbol_has_no_subject(text: str) -> None:
    try:
        token = subjects.token(Symbol(text))
    except InvalidSymbolError:
        return
    assert symbols.parse(text) == text
    assert not set(token) & set(".*> \r\n\t")


@pytest.mark.parametrize("text", ["*", ">", "A.B", "A B", "a", "", "A_.B", "_A", "A__B", "A\n"])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(InvalidSymbolError):
        subjects.symbol_of(text)
