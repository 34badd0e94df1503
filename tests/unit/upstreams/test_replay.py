from __future__ import annotations

import asyncio
import logging
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from qcfeed.errors import ConfigError, UnknownSymbolError
from qcfeed.model.messages import Band, Quote, Status
from qcfeed.model.symbol import Symbol
from qcfeed.upstreams import replay
from qcfeed.upstreams.conformance import KeepingSink
from qcfeed.upstreams.recording import RecordingWriter
from qcfeed.upstreams.replay import Replay, load
from tests.support.coinbase_server import CAPTURE
from tests.support.sinks import running, until

AAPL, MSFT = Symbol("AAPL"), Symbol("MSFT")

CAPTURED = b"""wss://feed <-> 100.0
100.5: {"type":"ticker","sequence":1,"product_id":"A-B","price":"9.5","time":"2024-03-20T02:15:00Z","trade_id":1}
100.75: {"type":"snapshot","product_id":"A-B","bids":[["9","1"]],"asks":[["10","2"]]}
101.0: {"type":"l2update","product_id":"A-B","changes":[["buy","8","1"]],"time":"2024-03-20T02:15:01Z"}
101.25: {"type":"l2update","product_id":"A-B","changes":[["buy","9.25","0.5"]],"time":"2024-03-20T02:15:02Z"}
101.5: {"type":"match","product_id":"A-B"}
"""


def quote(symbol: str, seq: int) -> Quote:
    return Quote(
        symbol, float(seq), 100, seq + 0.5, 200, None, f"2024-03-20T02:15:{seq % 60:02}Z", "e", seq
    )


def record(path: Path, *entries: tuple[float, Quote | Status]) -> Path:
    with RecordingWriter(path) as writer:
        for at, message in entries:
            writer.write(at, message)
    return path


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Ten quotes of AAPL in nine seconds, and one of MSFT in the middle."""
    entries: list[tuple[float, Quote | Status]] = [
        (1_000.0 + n, quote("AAPL", n)) for n in range(10)
    ]
    entries.insert(5, (1_004.5, quote("MSFT", 99)))
    entries.insert(6, (1_004.6, Status("MSFT", Band.STALE, 15_000)))
    return record(tmp_path / "a.jsonl.gz", *entries)


def bids(sink: KeepingSink) -> list[float | None]:
    return [tick.bid for tick in sink.ticks]


class TestLoad:
    def test_our_own_recording_is_replayed(self, recording: Path) -> None:
        tracks, duration = load(recording)
        assert duration == 9.0
        assert list(tracks) == [AAPL, MSFT]
        assert list(tracks[AAPL].due) == [float(n) for n in range(10)]
        assert list(tracks[MSFT].due) == [4.5]
        assert tracks[AAPL].ticks[3].ts == "2024-03-20T02:15:03Z"

    def test_a_raw_capture_goes_through_the_book(self, tmp_path: Path) -> None:
        (tmp_path / "raw").write_bytes(CAPTURED)
        tracks, duration = load(tmp_path / "raw")
        track = tracks[Symbol("A-B")]
        assert duration == 0.5
        assert list(track.due) == [0.0, 0.5]
        assert [(t.bid, t.bid_size, t.ask, t.last) for t in track.ticks] == [
            (9.0, 1, 10.0, 9.5),
            (9.25, 0.5, 10.0, 9.5),
        ]
        assert [t.ts for t in track.ticks] == [
            "1970-01-01T00:01:40.750000000Z",
            "2024-03-20T02:15:02Z",
        ]

    def test_a_faulty_message_costs_its_own_product_only(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A never-traded product's ticker, an update that is no number, and one that crosses the book."""
        (tmp_path / "raw").write_bytes(
            CAPTURED
            + b"""102.0: {"type":"ticker","product_id":"NEW-USD","price":"0","open_24h":"0"}
102.0: {"type":"snapshot","product_id":"C-D","bids":[["1","1"]],"asks":[["2","1"]]}
102.1: {"type":"l2update","product_id":"C-D","changes":[["buy","1_0","1"]],"time":"2024-03-20T02:15:03Z"}
102.2: {"type":"l2update","product_id":"C-D","changes":[["buy","1.5","1"]],"time":"2024-03-20T02:15:03Z"}
102.3: {"type":"snapshot","product_id":"C-D","bids":[["1.25","1"]],"asks":[["2","1"]]}
102.4: {"type":"l2update","product_id":"C-D","changes":[["buy","2.5","1"]],"time":"2024-03-20T02:15:03Z"}
102.5: {"type":"l2update","product_id":"A-B","changes":[["buy","9.5","1"]],"time":"2024-03-20T02:15:04Z"}
"""
        )
        tracks, _ = load(tmp_path / "raw")
        assert [tick.bid for tick in tracks[Symbol("A-B")].ticks] == [9.0, 9.25, 9.5]
        assert [tick.bid for tick in tracks[Symbol("C-D")].ticks] == [1.0, 1.25]
        assert "1 faulty message of NEW-USD, the first at time 102.0" in caplog.text
        assert "2 faulty messages of C-D, the first at time 102.1" in caplog.text

    def test_an_invalid_quote_of_a_recording_is_passed_over(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        huge = msgspec.structs.replace(quote("AAPL", 2), ts="2" * 1_000_000)
        path = record(tmp_path / "a", (1.0, quote("AAPL", 1)), (2.0, huge), (3.0, quote("AAPL", 3)))
        tracks, _ = load(path)
        assert [tick.bid for tick in tracks[AAPL].ticks] == [1.0, 3.0]
        assert "1 faulty message of AAPL" in caplog.text
        assert len(caplog.text) < 1_000

    def test_a_recorders_clock_set_back_does_not_turn_the_timeline(self, tmp_path: Path) -> None:
        path = record(
            tmp_path / "a", (5.0, quote("AAPL", 1)), (4.0, quote("AAPL", 2)), (6.0, quote("F", 3))
        )
        tracks, duration = load(path)
        assert list(tracks[AAPL].due) == [0.0, 0.0]
        assert duration == 1.0

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\n\n",
            b'{"at":1,"message":{"type":"pong"}}\n',
            (
                b'{"at":1,"message":{"type":"quote","symbol":"../x","bid":1,"bid_size":1,"ask":1,'
                b'"ask_size":1,"last":1,"ts":"","epoch":"","seq":1}}\n'
            ),
            b'1.0: {"type":"l2update"}\n',
            b'1.0: {"type":"snapshot","product_id":"A-B","bids":[["x","1"]],"asks":[]}\n',
            b'1.0: {"type":"snapshot","product_id":"a/b","bids":[["1","1"]],"asks":[]}\n',
        ],
    )
    def test_invalid_recordings_raise_one_clear_error(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(ConfigError, match=r"no quotes|invalid message"):
            Replay(tmp_path / "file")

    def test_too_many_quotes_are_refused(
        self, recording: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(replay, "MAX_TICKS", 10)
        with pytest.raises(ConfigError, match="more than 10 quotes"):
            load(recording)

    def test_a_truncated_file_is_replayed_with_a_warning(
        self, recording: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        recording.write_bytes(recording.read_bytes()[:-20])
        tracks, _ = load(recording)
        assert len(tracks[AAPL].ticks) >= 8
        assert "skipped the incomplete last line" in caplog.text


class TestRun:
    async def test_the_recordings_pace_is_kept(self, recording: Path) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        async with running(Replay(recording, speed=50.0), AAPL) as (sink, _):
            await sink.until_ticks(10)
        assert loop.time() - start >= 9.0 / 50
        assert bids(sink) == list(range(10))
        assert sink.opens == 1

    async def test_feeds_share_one_timeline(self, recording: Path) -> None:
        upstream = Replay(recording, speed=50.0)
        async with running(upstream, AAPL) as (sink, _):
            await sink.until_ticks(6)
            async with running(upstream, MSFT) as (late, _):
                await late.until_ticks(1)
            assert bids(late) == [99.0]
            async with running(upstream, AAPL) as (second, _):
                await second.until_ticks(1)
                standing = second.ticks[0].bid
                assert standing is not None
                assert standing >= 5.0
                await second.until(lambda: bids(second)[-1] == 9.0)
            assert bids(second) == list(range(int(standing), 10))

    async def test_without_loop_the_feed_stays_open_and_silent(
        self, recording: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        upstream = Replay(recording, speed=100.0)
        async with running(upstream, AAPL) as (sink, task):
            assert upstream.health().connected
            await until(lambda: not upstream.health().connected)
            assert len(sink.ticks) == 10
            assert not task.done()
            async with running(upstream, MSFT) as (late, other):
                await late.until_ticks(1)
                assert not other.done()
        assert upstream.health().detail == "the recording has ended"
        assert caplog.text.count("has ended") == 1

    async def test_with_loop_it_starts_again(self, recording: Path) -> None:
        upstream = Replay(recording, speed=200.0, loop=True)
        async with running(upstream, AAPL) as (sink, _):
            await sink.until_ticks(35)
        expected = [n % 10 for n in range(len(sink.ticks))]
        # A lap may be skipped after a stall, but never a part of one.
        assert [b for b in bids(sink) if b == 0.0]
        assert all(b == (a + 1) % 10 for a, b in pairwise(bids(sink)) if a is not None)
        assert bids(sink) == expected
        assert upstream.health().connected

    async def test_a_lap_lasts_a_second_at_least(self, tmp_path: Path) -> None:
        path = record(tmp_path / "a", (5.0, quote("AAPL", 1)))
        loop = asyncio.get_running_loop()
        start = loop.time()
        async with running(Replay(path, speed=20.0, loop=True), AAPL) as (sink, _):
            await sink.until_ticks(4)
        assert loop.time() - start >= 3 / 20

    async def test_unpaced_each_feed_plays_its_own_from_the_start(self, recording: Path) -> None:
        upstream = Replay(recording, speed=None)
        for _ in range(2):
            async with running(upstream, AAPL) as (sink, _task):
                await sink.until_ticks(10)
            assert bids(sink) == list(range(10))
            assert sink.readies == 1

    async def test_unpaced_waits_for_the_sink(self, tmp_path: Path) -> None:
        class Stuck(KeepingSink):
            async def ready(self) -> None:
                await super().ready()
                await asyncio.get_running_loop().create_future()

        path = record(tmp_path / "a", *((float(n), quote("AAPL", n)) for n in range(1_000)))
        async with running(Replay(path, speed=None), AAPL, Stuck()) as (sink, _):
            await sink.until(lambda: sink.readies == 1)
            for _ in range(10):
                await asyncio.sleep(0)
            assert len(sink.ticks) == 128

    async def test_unpaced_and_looped_never_ends(self, recording: Path) -> None:
        async with running(Replay(recording, speed=None, loop=True), AAPL) as (sink, _):
            await sink.until_ticks(1_000)
        assert bids(sink) == [n % 10 for n in range(len(sink.ticks))]

    async def test_an_unknown_symbol_is_refused(self, recording: Path) -> None:
        upstream = Replay(recording)
        assert not upstream.knows(Symbol("F"))
        with pytest.raises(UnknownSymbolError) as caught:
            await upstream.run(Symbol("F"), KeepingSink())
        assert caught.value.hint == "it has AAPL, MSFT"


@pytest.mark.skipif(not CAPTURE.exists(), reason=f"no capture at {CAPTURE}")
async def test_the_capture_plays() -> None:
    upstream = Replay(CAPTURE, speed=None)
    assert len(upstream.symbols()) == 10
    async with running(upstream, "SKL-USD") as (sink, _):
        await until(lambda: not upstream.health().connected)
    assert len(sink.ticks) == 488
    assert all(
        tick.bid is not None and tick.ask is not None and tick.bid < tick.ask for tick in sink.ticks
    )
