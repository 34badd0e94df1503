from __future__ import annotations

import pytest

from qcfeed.cluster.core import envelope
from qcfeed.cluster.core.envelope import (
    Epoch,
    InvalidEnvelopeError,
    PublishedQuote,
    PublishedRefusal,
)
from qcfeed.model.symbol import Symbol

AAPL = Symbol("AAPL")
TEXT = b'{"type":"quote","symbol":"AAPL","bid":1.0}'
QUOTE = PublishedQuote(Epoch(1796073749191, 3), 2**40, TEXT)


def test_a_quote_comes_out_as_it_went_in_without_being_decoded() -> None:
    assert envelope.unpack(envelope.pack(QUOTE), AAPL) == QUOTE


def test_a_refusal_comes_out_as_it_went_in() -> None:
    refusal = PublishedRefusal(Epoch(5, 0), "no such symbol: ZZZZ")
    assert envelope.unpack(envelope.pack_refusal(refusal), AAPL) == refusal


def test_an_epoch_is_text_and_back() -> None:
    assert envelope.parse_epoch(str(Epoch(17, 4))) == Epoch(17, 4)
    assert Epoch(9, 9) < Epoch(10, 1) < Epoch(10, 2)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"Q",
        TEXT,
        envelope.pack(QUOTE)[:-1],
        envelope.pack(QUOTE) + b" ",
        envelope.pack(PublishedQuote(QUOTE.epoch, 1, TEXT.replace(b"AAPL", b"MSFT"))),
        envelope.pack(PublishedQuote(QUOTE.epoch, 1, TEXT + b" " * envelope.MAX_QUOTE + b"}")),
        b"X" + envelope.pack(QUOTE)[1:],
    ],
)
def test_what_no_feeder_sends_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidEnvelopeError):
        envelope.unpack(data, AAPL)
