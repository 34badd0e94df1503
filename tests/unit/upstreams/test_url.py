from __future__ import annotations

from pathlib import Path

import pytest

from qcfeed.errors import ConfigError
from qcfeed.model.messages import Quote
from qcfeed.upstreams.coinbase import Coinbase
from qcfeed.upstreams.recording import RecordingWriter
from qcfeed.upstreams.replay import Replay
from qcfeed.upstreams.simulator import Simulator
from qcfeed.upstreams.url import connect


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "a day.jsonl"
    with RecordingWriter(path) as writer:
        writer.write(1.0, Quote("AAPL", 1.0, 100, 1.01, 100, 1.0, "2024-03-20T02:15:00Z", "e", 1))
    return path


@pytest.mark.parametrize(
    ("url", "kind", "name"),
    [
        ("sim:", Simulator, "sim:?rate=1&seed=0"),
        ("SIM:?rate=2.5&seed=-7", Simulator, "sim:?rate=2.5&seed=-7"),
        ("sim:?rate=max", Simulator, "sim:?rate=max&seed=0"),
        ("coinbase:", Coinbase, "coinbase:"),
        ("coinbase:?silence=3", Coinbase, "coinbase:"),
        ("coinbase+ws://127.0.0.1:9000/", Coinbase, "coinbase+ws://127.0.0.1:9000/"),
        ("coinbase+wss://feed.example/x?silence=1", Coinbase, "coinbase+wss://feed.example/x"),
    ],
)
def test_good_urls(url: str, kind: type, name: str) -> None:
    upstream = connect(url)
    assert type(upstream) is kind
    assert upstream.name == name


def test_a_recording_by_absolute_path(recording: Path) -> None:
    quoted = str(recording).replace(" ", "%20")
    for url in (f"replay:{recording}", f"replay://{quoted}", f"replay:{quoted}?speed=max&loop=1"):
        upstream = connect(url)
        assert type(upstream) is Replay
        assert upstream.knows(upstream.symbols()[0])


def test_a_recording_by_relative_path(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(recording.parent)
    assert connect("replay:a day.jsonl").name == "replay:a day.jsonl?speed=1"
    monkeypatch.setenv("HOME", str(recording.parent))
    assert connect("replay:~/a day.jsonl?speed=0").name.endswith("a day.jsonl?speed=max")


@pytest.mark.parametrize(
    ("url", "said", "hint"),
    [
        ("", "no scheme", "sim:"),
        ("AAPL", "no scheme", "sim:"),
        ("nats://h", "unknown scheme 'nats'", "coinbase:"),
        ("coinbase+ws://[::1", "not a URL", "coinbase+ws"),
        ("sim:AAPL", "does not accept 'AAPL'", "sim:"),
        ("sim://host", "does not accept 'host'", "sim:"),
        ("sim:?rat=5", "unknown field `rat`", "rate: quotes per second"),
        ("sim:?rate", "must be key=value", None),
        ("sim:?rate=", "'?rate='", "rate: quotes"),
        ("sim:?rate=1&rate=2", "'rate' twice", "once"),
        ("sim:?rate=0", ">= 0.001", "from 0.001 to 1,000,000, or max"),
        ("sim:?rate=-1", ">= 0.001", "from 0.001 to 1,000,000, or max"),
        ("sim:?rate=nan", ">= 0.001", "from 0.001 to 1,000,000, or max"),
        ("sim:?rate=inf", "<= 1000000", "from 0.001 to 1,000,000, or max"),
        ("sim:?rate=fast", "'fast'", "rate: quotes"),
        ("sim:?seed=1.5", "Expected `int`", "a whole number"),
        ("replay:", "needs a file", "replay:"),
        ("replay://relative/file", "needs a file", "replay:///"),
        ("replay:nowhere.jsonl", "No such file", "--record"),
        ("coinbase://host", "does not accept 'host'", "coinbase+wss"),
        ("coinbase:?rate=1", "unknown field `rate`", "silence"),
        ("coinbase:?silence=0", ">= 0.1", "from 0.1"),
        ("coinbase:?silence=inf", "<= 86400", "from 0.1"),
        ("coinbase+ws:", "needs a host", "coinbase+ws://127"),
        ("coinbase+ws://h:99999/", "needs a host", "coinbase+ws://127"),
        ("coinbase+ws://user:secret@h/", "needs a host", "coinbase+ws://127"),
    ],
)
def test_bad_urls_are_one_clear_error(url: str, said: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        connect(url)
    assert said in caught.value.message
    assert "secret" not in caught.value.message
    if hint is not None:
        assert hint in (caught.value.hint or "")


def test_bad_replay_parameters(recording: Path) -> None:
    for query in ("speed=-1", "speed=x", "loop=2", "loop=yes", "rate=1"):
        with pytest.raises(ConfigError):
            connect(f"replay:{recording}?{query}")
