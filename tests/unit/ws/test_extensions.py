"""Which offers of permessage-deflate are accepted, and how (RFC 7692 section 7.1)."""

from __future__ import annotations

import pytest

from qcfeed.ws.extensions import negotiate

PLAIN = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

MET = {
    b"permessage-deflate": PLAIN,
    b"permessage-deflate; client_max_window_bits": PLAIN,  # what browsers and Node offer
    b" permessage-deflate ; client_max_window_bits = 12 ": PLAIN,
    b"permessage-deflate; client_max_window_bits=8": PLAIN,
    b"permessage-deflate; server_no_context_takeover; client_no_context_takeover": PLAIN,
    b"permessage-deflate; server_max_window_bits=15": f"{PLAIN}; server_max_window_bits=9",
    b'permessage-deflate; server_max_window_bits="9"': f"{PLAIN}; server_max_window_bits=9",
    b"x-webkit-deflate-frame, permessage-deflate": PLAIN,
    b"permessage-deflate; server_max_window_bits=8, permessage-deflate": PLAIN,
}
UNMET = [
    b"",
    b",;",
    b"deflate",
    b"permessage-deflatex",
    b"permessage-deflate; server_max_window_bits=8",
    b"permessage-deflate; server_max_window_bits=16",
    b"permessage-deflate; server_max_window_bits=09",
    b"permessage-deflate; server_max_window_bits",
    b"permessage-deflate; server_max_window_bits=\xb2",
    b"permessage-deflate; client_max_window_bits=7",
    b"permessage-deflate; client_max_window_bits=x",
    b"permessage-deflate; client_no_context_takeover=1",
    b"permessage-deflate; client_max_window_bits; client_max_window_bits",
    b"permessage-deflate; level=9",
    b"permessage-deflate;",
]


@pytest.mark.parametrize(("offer", "answer"), MET.items())
def test_acceptable_offers_are_accepted(offer: bytes, answer: str) -> None:
    assert negotiate(offer) == answer


@pytest.mark.parametrize("offer", UNMET)
def test_other_offers_are_declined(offer: bytes) -> None:
    assert negotiate(offer) is None
