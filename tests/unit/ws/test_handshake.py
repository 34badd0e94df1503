"""The opening handshake without sockets: bytes in, in any pieces, and a decision out."""

from __future__ import annotations

import itertools
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request

from qcfeed.model.symbol import MAX_LENGTH
from qcfeed.ws.handshake import Accepted, check_upgrade, parse_query
from qcfeed.ws.refusal import Refusal
from qcfeed.ws.request_head import MAX_HEAD, Head, HeadReader
from tests.support.raw_websocket import frame, head


def read(*pieces: bytes) -> tuple[Head | Refusal | None, HeadReader]:
    """The result of a HeadReader after the first piece for which it returns one."""
    reader = HeadReader()
    for piece in pieces:
        answer = reader.feed(piece)
        if answer is not None:
            return answer, reader
    return None, reader


def verdict(sent: bytes) -> Accepted | Refusal:
    answer, _ = read(sent)
    assert isinstance(answer, Head), answer
    assert answer.is_websocket_endpoint
    return check_upgrade(answer)


def test_another_implementation_accepts_the_response() -> None:
    client = WSConnection(ConnectionType.CLIENT)
    answer = verdict(client.send(Request(host="x", target="/quotes/brk.b")))
    assert isinstance(answer, Accepted)
    assert answer.symbol == "BRK.B"
    client.receive_data(answer.response)
    (event,) = client.events()
    assert isinstance(event, AcceptConnection)


def test_a_stream_has_no_symbol() -> None:
    answer = verdict(head("/stream?x=1"))
    assert isinstance(answer, Accepted)
    assert answer.symbol is None


@given(cuts=st.lists(st.integers(1, 400), max_size=8))
def test_a_head_is_parsed_from_any_pieces(cuts: list[int]) -> None:
    first_frame = frame(1, b"hello")
    sent = head("/quotes/AAPL") + first_frame
    places = sorted({0, len(sent), *(cut % len(sent) for cut in cuts)})
    pieces = [sent[a:b] for a, b in itertools.pairwise(places)]
    reader = HeadReader()
    heads = []
    for number, piece in enumerate(pieces):
        answer = reader.feed(piece)
        if answer is not None:
            heads.append(answer)
            assert reader.rest + b"".join(pieces[number + 1 :]) == first_frame
            break
    (got,) = heads
    assert isinstance(got, Head)
    assert got.target == b"/quotes/AAPL"
    assert got.headers[b"upgrade"] == b"websocket"
    assert isinstance(check_upgrade(got), Accepted)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_never_raise(sent: bytes) -> None:
    answer, _ = read(sent)
    if isinstance(answer, Head) and answer.is_websocket_endpoint:
        check_upgrade(answer)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_arbitrary_targets_and_headers_never_raise(target: bytes, value: bytes) -> None:
    answer, _ = read(head(b"/quotes/" + target, x=value))
    if isinstance(answer, Head) and answer.is_websocket_endpoint:
        judged = check_upgrade(answer)
        if isinstance(judged, Accepted) and judged.symbol is not None:
            assert len(judged.symbol) <= MAX_LENGTH
        if isinstance(judged, Refusal):
            judged.response().decode("ascii")


def test_pipelined_requests_are_ignored() -> None:
    answer, reader = read(
        b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n" + head("/stream", method=b"POST")
    )
    assert isinstance(answer, Head)
    assert (answer.method, answer.target) == (b"GET", b"/livez")
    assert answer.headers == {b"host": b"a"}
    assert not answer.is_websocket_endpoint
    assert reader.data.endswith(b"\r\n\r\n"), "all bytes go on to whoever takes over"


@pytest.mark.parametrize("spare", [-1, 0, 1])
def test_a_head_of_the_maximum_size_is_accepted(spare: int) -> None:
    room = MAX_HEAD - len(head(x=b"")) + 4  # the empty line at the end is not counted
    answer, _ = read(head(x=b"a" * (room - spare)))
    assert isinstance(answer, Head if spare >= 0 else Refusal)


def test_a_refusal_has_each_header_once() -> None:
    refusal = Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "draining",
        "come later",
        {"Retry-After": "5"},
        retryable=True,
    )
    raw, _, body = refusal.response().partition(b"\r\n\r\n")
    lines = raw.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 503 Service Unavailable"
    assert b"Retry-After: 5" in lines
    assert b"Connection: close" in lines
    assert f"Content-Length: {len(body)}".encode() in lines
    assert body == (b'{"type":"error","code":"draining","message":"come later","retryable":true}\n')


def test_white_space_around_a_header_value_is_stripped() -> None:
    answer, _ = read(head(x=b"\t a b \t"))
    assert isinstance(answer, Head)
    assert answer.headers[b"x"] == b"a b"


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        (b"/quotes/A?b=c", b"/quotes/A", b"b=c", b"localhost"),
        (b"http://h:1/quotes/A?b", b"/quotes/A", b"b", b"h:1"),
        (b"WSS://h/stream", b"/stream", b"", b"h"),
        (b"http://h", b"/", b"", b"h"),
        (b"http://u@h/stream", b"http://u@h/stream", b"", b"localhost"),
    ],
)
def test_the_host_of_an_absolute_target_replaces_the_header(
    target: bytes, path: bytes, query: bytes, host: bytes
) -> None:
    answer, _ = read(head(target))
    assert isinstance(answer, Head)
    assert (answer.path, answer.query, answer.headers[b"host"]) == (path, query, host)


def test_426_names_the_protocol_to_upgrade_to() -> None:
    """RFC 9110 sections 7.8 and 15.5.22: Upgrade, and the connection option for it."""
    for sent in (head(drop=(b"upgrade",)), head(sec_websocket_version=b"8")):
        answer = verdict(sent)
        assert isinstance(answer, Refusal)
        assert answer.status == 426
        assert b"\r\nUpgrade: websocket\r\n" in answer.response()
        assert b"\r\nConnection: close, Upgrade\r\n" in answer.response()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (b"slow=\xff", "the query is not ASCII"),
        (b"slow=never", "slow=never is not one of "),
        (b"compress=2", "compress=2 must be 0 or 1"),
    ],
)
def test_an_invalid_option_is_refused_with_its_reason(query: bytes, message: str) -> None:
    refusal = parse_query(query)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.code) == (400, "invalid_option")
    assert refusal.message.startswith(message)


@pytest.mark.parametrize(("length", "status"), [(1_024, 400), (1_025, 414)])
def test_a_path_of_up_to_1024_bytes_is_examined(length: int, status: int) -> None:
    path = b"/quotes/".ljust(length, b"A")
    refusal = check_upgrade(Head(b"GET", path, "1.1", {}))
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.code) == (status, "invalid_symbol")
