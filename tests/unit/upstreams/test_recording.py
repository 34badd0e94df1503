from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from qcfeed.errors import ConfigError
from qcfeed.model.messages import Band, GoingAway, Quote, ServerMessage, StaleReason, Status
from qcfeed.upstreams.recording import RecordingReader, RecordingWriter

QUOTE = Quote("AAPL", 189.99, 300, 190.01, 0.5, None, "2024-03-20T02:15:00.123456789Z", "7f3a", 9)
ENTRIES: list[tuple[float, ServerMessage]] = [
    (1710900900.25, QUOTE),
    (1710900916.0, Status("AAPL", Band.STALE, 16_000, StaleReason.UPSTREAM_SILENT)),
    (1710900917.5, GoingAway(3170)),
]
RAW = b"""wss://ws-feed.pro.coinbase.com <-> 1618677816.84
wss://ws-feed.pro.coinbase.com <- 1618677817.02: {"type":"subscribe"}
1618677817.07: {"type":"subscriptions","channels":[]}
1618677818: {"type":"ticker","product_id":"A-B"}

"""


def written(path: Path) -> Path:
    with RecordingWriter(path) as writer:
        for at, message in ENTRIES:
            writer.write(at, message)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_written_recording_is_read_back(tmp_path: Path, name: str) -> None:
    reader = RecordingReader(written(tmp_path / name))
    assert list(reader) == ENTRIES
    assert not reader.truncated


def test_the_form_is_json_lines_and_gzip_by_name(tmp_path: Path) -> None:
    plain = written(tmp_path / "a.jsonl").read_bytes()
    first = plain.splitlines()[0]
    assert first.startswith(b'{"at":1710900900.25,"message":{"type":"quote","symbol":"AAPL"')
    assert gzip.decompress(written(tmp_path / "b.gz").read_bytes()) == plain


def test_compression_is_detected_from_the_content(tmp_path: Path) -> None:
    path = written(tmp_path / "a.gz")
    assert list(RecordingReader(path.rename(tmp_path / "renamed.jsonl"))) == ENTRIES


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_recorder_killed_midway_leaves_a_readable_file(tmp_path: Path, name: str) -> None:
    writer = RecordingWriter(tmp_path / name)
    for second in range(100):
        writer.write(1_000.0 + second, QUOTE)
    left = (tmp_path / name).read_bytes()  # as in the kernel when the process was killed
    writer.close()
    killed = tmp_path / f"killed-{name}"
    killed.write_bytes(left)
    reader = RecordingReader(killed)
    assert len(list(reader)) == 100


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_any_truncation_is_tolerated_and_reported(tmp_path: Path, name: str) -> None:
    whole = written(tmp_path / name).read_bytes()
    for length in range(40, len(whole) - 1):
        cut = tmp_path / "cut"
        cut.write_bytes(whole[:length])
        reader = RecordingReader(cut)
        got = list(reader)
        assert got == ENTRIES[: len(got)]
        assert reader.truncated or len(got) == whole[: length + 1].count(b"\n")


def test_a_raw_capture_gives_bytes(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(gzip.compress(RAW))
    assert list(RecordingReader(path)) == [
        (1618677817.07, b'{"type":"subscriptions","channels":[]}'),
        (1618677818.0, b'{"type":"ticker","product_id":"A-B"}'),
    ]


def test_a_truncated_raw_capture_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(RAW.rstrip()[:-3])
    reader = RecordingReader(path)
    assert len(list(reader)) == 1
    assert reader.truncated


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"root:x:0:0\n", "line 1"),
        (b"\x00\xff" * 100 + b"\n", "line 1"),
        (b'{"at":1,"message":{"type":"nonsense"}}\n', "line 1"),
        (b'{"at":"x","message":{}}\n', "line 1"),
        (RAW + b"1618677819.0: {nonsense}\n", "line 6"),
        (RAW + b"nonsense\n", "line 6"),
        (b"\x1f\x8b" + b"nonsense" * 10, "damaged"),
    ],
)
def test_a_file_that_is_no_recording_is_one_clear_error(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        list(RecordingReader(path))


def test_a_damaged_middle_is_an_error(tmp_path: Path) -> None:
    whole = written(tmp_path / "a.gz").read_bytes()
    (tmp_path / "b").write_bytes(whole[:30] + b"\xff\xff\xff\xff" + whole[34:])
    with pytest.raises(ConfigError, match="damaged"):
        list(RecordingReader(tmp_path / "b"))


def test_unreadable_and_unwritable_places(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(ConfigError, match="cannot read"):
            list(RecordingReader(path))
    for path in (tmp_path, tmp_path / "none" / "a.gz"):
        with pytest.raises(ConfigError, match="cannot write"):
            RecordingWriter(path)


def test_a_full_disk_is_reported() -> None:
    writer = RecordingWriter("/dev/full")
    with pytest.raises(ConfigError, match="No space left"):
        writer.write(1.0, QUOTE)
    with pytest.raises(ConfigError, match="No space left"):
        writer.close()


NESTED = b"[" * 200_000 + b"]" * 200_000
PONG = b'{"type":"pong"}'


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"at":%s,"message":%s}\n' % (b"9" * 400, PONG), "between the years|out of range"),
        (b'{"at":-1,"message":%s}\n' % PONG, "between the years"),
        (b'{"at":1e300,"message":%s}\n' % PONG, "between the years"),
        (b"9" * 400 + b": {}\n", "between the years"),
        (b'{"at":%s,"message":%s}\n' % (NESTED, PONG), "recursion|Expected"),
        (b"1.0: {" + NESTED + b"}\n", "malformed|recursion"),
        (b"\n" * 200_000, "over 100,000 without a message"),
        (b"ws x\n" * 200_000, "over 100,000 without a message"),
    ],
    ids=["400 digits", "negative", "huge", "raw 400 digits", "deep", "raw deep", "newlines", "ws"],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_recording_that_means_harm_is_one_clear_error(
    tmp_path: Path, content: bytes, why: str, packed: bool
) -> None:
    path = tmp_path / "evil"
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(ConfigError, match=why) as caught:
        list(RecordingReader(path))
    assert len(caught.value.message) < 500


def test_devices_and_pipes_are_no_recordings(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (Path("/dev/zero"), tmp_path / "pipe"):
        with pytest.raises(ConfigError, match="it is a device or a pipe"):
            list(RecordingReader(path))
