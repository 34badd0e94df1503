from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcfeed.core import frames, messages
from qcfeed.core.broadcast import Log, Subscriber
from qcfeed.core.messages import Tick
from qcfeed.core.symbol import parse

SYMBOL = parse("AAPL")


def fill(log: Log, count: int) -> None:
    for _ in range(count):
        tick = Tick(1.0, 100, 1.5, 200, 1.25, "2024-03-20T02:15:00Z")
        log.append(messages.quote(SYMBOL, tick, "e", log.head + 1))


def read(log: Log, subscriber: Subscriber[None]) -> list[tuple[int, int]]:
    """The (seq, conflated) pairs of what a subscriber is given."""
    data, seen = log.read(subscriber), []
    while data:
        size, skip = data[1], 2
        if size == 126:
            size, skip = int.from_bytes(data[2:4], "big"), 4
        quote = messages.decode(data[skip : skip + size])
        seen.append((quote.seq, quote.conflated))
        data = data[skip + size :]
    return seen


def test_a_reader_gets_every_quote_once_and_in_order() -> None:
    log, reader = Log(8), Subscriber(SYMBOL, None)
    fill(log, 3)
    assert read(log, reader) == [(1, 0), (2, 0), (3, 0)]
    assert read(log, reader) == []
    fill(log, 1)
    assert read(log, reader) == [(4, 0)]


def test_readers_at_the_same_place_share_the_same_bytes() -> None:
    log, one, other = Log(8), Subscriber(SYMBOL, None), Subscriber(SYMBOL, None)
    fill(log, 4)
    assert log.read(one) is log.read(other)


def test_a_reader_beyond_the_capacity_gets_the_newest_for_all() -> None:
    log, reader = Log(4), Subscriber(SYMBOL, None)
    fill(log, 10)
    assert read(log, reader) == [(10, 9)]
    assert log.conflated == 9


def test_a_newcomer_gets_the_snapshot_even_when_everybody_has_read_it() -> None:
    log, reader, newcomer = Log(4), Subscriber(SYMBOL, None), Subscriber(SYMBOL, None)
    fill(log, 3)
    log.read(reader)
    log.release(log.head)
    log.rewind(newcomer, snapshot=True)
    assert read(log, newcomer) == [(3, 0)]


def test_a_newcomer_gets_nothing_old_when_the_snapshot_is_stale() -> None:
    log, newcomer = Log(4), Subscriber(SYMBOL, None)
    fill(log, 3)
    log.rewind(newcomer, snapshot=False)
    assert read(log, newcomer) == []


def test_memory_is_bounded_whatever_readers_do() -> None:
    log = Log(16)
    fill(log, 10_000)
    assert len(log._frames) <= 2 * 16


@given(
    capacity=st.integers(2, 6),
    steps=st.lists(
        st.tuples(st.sampled_from(["append", "read", "rewind", "release"]), st.integers(0, 2))
    ),
)
def test_no_reader_ever_misses_a_quote_untold(capacity: int, steps: list[tuple[str, int]]) -> None:
    log = Log(capacity)
    readers = [Subscriber(SYMBOL, None) for _ in range(3)]
    last = [0, 0, 0]
    for step, who in steps:
        if step == "append":
            fill(log, who + 1)
        elif step == "read":
            for seq, conflated in read(log, readers[who]):
                assert seq - conflated == last[who] + 1
                last[who] = seq
        elif step == "rewind":
            log.rewind(readers[who], snapshot=True)
            last[who] = max(0, log.head - 1)
        else:
            log.release(min(reader.cursor for reader in readers))
        assert len(log._frames) <= 2 * capacity


@pytest.mark.parametrize("size", [0, 125, 126, 0xFFFF, 0x10000])
def test_a_frame_is_what_another_library_reads(size: int) -> None:
    from wsproto.frame_protocol import FrameProtocol

    peer = FrameProtocol(client=True, extensions=[])
    peer.receive_bytes(frames.text(b"x" * size))
    assert "".join(frame.payload for frame in peer.received_frames()) == "x" * size


def test_a_close_frame_cuts_its_reason_at_a_character() -> None:
    data = frames.close(4410, "é" * 200)
    assert data[1] <= 125
    assert data[4:].decode()


def test_a_whole_size_stays_whole_on_the_wire() -> None:
    quote = messages.quote(SYMBOL, Tick(1.0, 300, 2.0, 0.5, None, "t"), "e", 1)
    said = msgspec.json.decode(messages.encode(quote))
    assert said["bid_size"] == 300
    assert isinstance(said["bid_size"], int)
    assert "conflated" not in said
