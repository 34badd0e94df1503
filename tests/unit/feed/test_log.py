from __future__ import annotations

import msgspec
import pytest

from qcfeed.feed.log import Log
from qcfeed.feed.slow_consumer import Backlog
from qcfeed.feed.subscriber import Subscriber
from qcfeed.model import frames, messages
from qcfeed.model.messages import Tick
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.symbol import parse
from tests.support.frames import told

SYMBOL = parse("AAPL")


def fill(log: Log, count: int) -> None:
    for _ in range(count):
        tick = Tick(1.0, 100, 1.5, 200, 1.25, "2024-03-20T02:15:00Z")
        log.append(messages.quote(SYMBOL, tick, "e", log.head + 1))


def newcomer(log: Log) -> Subscriber:
    subscriber: Subscriber = Subscriber(SYMBOL, None)
    log.start_reading(subscriber, replay_latest=True)
    return subscriber


def read(log: Log, subscriber: Subscriber) -> list[tuple[int, int, int]]:
    return told(log.read(subscriber))


def test_a_reader_gets_every_quote_once_and_in_order() -> None:
    log = Log()
    reader = newcomer(log)
    fill(log, 3)
    assert read(log, reader) == [(1, 0, 0), (2, 0, 0), (3, 0, 0)]
    assert read(log, reader) == []
    fill(log, 1)
    assert read(log, reader) == [(4, 0, 0)]
    assert log.delivered == 4


def test_readers_at_the_same_place_share_the_same_bytes() -> None:
    log = Log()
    one, other = newcomer(log), newcomer(log)
    fill(log, 4)
    assert log.read(one) is log.read(other)


def test_a_newcomer_gets_the_snapshot_even_when_everybody_has_read_it() -> None:
    log = Log()
    reader = newcomer(log)
    fill(log, 3)
    log.read(reader)
    log.release(log.head)
    assert read(log, newcomer(log)) == [(3, 0, 0)]


def test_a_newcomer_gets_nothing_old_when_the_snapshot_is_stale() -> None:
    log, reader = Log(), Subscriber(SYMBOL, None)
    fill(log, 3)
    log.start_reading(reader, replay_latest=False)
    assert read(log, reader) == []


FATES = {
    SlowConsumerPolicy.CONFLATE: [(10, 9, 0)],
    SlowConsumerPolicy.DROP_OLDEST: [(7, 0, 6), (8, 0, 0), (9, 0, 0), (10, 0, 0)],
}


@pytest.mark.parametrize(("policy", "said"), FATES.items(), ids=FATES)
def test_beyond_its_limit_a_reader_gets_what_its_fate_says(
    policy: SlowConsumerPolicy, said: list[tuple[int, int, int]]
) -> None:
    log, backlog = Log(), Backlog(policy, 4)
    reader = newcomer(log)
    fill(log, 10)
    backlog.reset(10)
    assert told(log.catch_up(reader, backlog, 1)) == said
    lost = sum(conflated + dropped for _, conflated, dropped in said)
    assert log.conflated + log.dropped == backlog.conflated + backlog.dropped == lost
    assert log.delivered == len(said)


@pytest.mark.parametrize("policy", SlowConsumerPolicy)
def test_within_its_limit_a_reader_gets_every_quote(policy: SlowConsumerPolicy) -> None:
    log, backlog = Log(), Backlog(policy, 4)
    reader = newcomer(log)
    fill(log, 4)
    backlog.reset(4)
    assert [seq for seq, _, _ in told(log.catch_up(reader, backlog, 1))] == [1, 2, 3, 4]
    assert not backlog.must_disconnect


@pytest.mark.parametrize("size", [0, 125, 126, 0xFFFF, 0x10000])
def test_a_frame_is_what_another_library_reads(size: int) -> None:
    from wsproto.frame_protocol import FrameProtocol

    assert frames.payload(frames.text(b"x" * size)) == b"x" * size
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
