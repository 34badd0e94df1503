from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcfeed.errors import ConfigError
from qcfeed.model.messages import Quote
from qcfeed.model.symbol import Symbol
from qcfeed.upstreams.coinbase import Coinbase
from qcfeed.upstreams.recording import RecordingWriter
from qcfeed.upstreams.registry import connect
from qcfeed.upstreams.replay import Replay
from qcfeed.upstreams.simulator import Simulator


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
        ("kafka://h", "unknown scheme 'kafka'", "nats://"),
        ("nats://", "not NATS servers", "nats://127"),
        ("nats://user:secret@h", "a user or password", "--nats-user"),
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


# ------------------------------------------------------------ upstreams of other packages

MODULE = """
from qcfeed.upstreams import Upstream, UpstreamUrl

class Mine(Upstream):
    def __init__(self, url):
        self.name = f"mine: at {url.parts.hostname}"
        self.url = url

    async def run(self, symbol, sink):
        sink.opened()

class Half:
    name = "half:"
    def knows(self, symbol):
        return True

def connect(url: UpstreamUrl):
    return Mine(url)

def half(url):
    return Half()

def fails(url):
    return {}["no such key"]

def leaves(url):
    raise SystemExit(1)

def abstract(url):
    return Upstream()

async def forgets_await(url):
    return Mine(url)

CONSTANT = 7
"""


class Site:
    """A directory of installed packages, first on ``sys.path``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def install(self, package: str, entries: str, **modules: str) -> None:
        info = self._path / f"{package.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[qcfeed.upstreams]\n{entries}\n")
        for name, text in modules.items():
            (self._path / f"{name}.py").write_text(text)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Site(tmp_path)
    for name in set(sys.modules) - before:
        if name.startswith("qcfeed_test_"):
            del sys.modules[name]


def refusal(url: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        connect(url)
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"
    return caught.value


def test_an_installed_package_provides_an_upstream(site: Site) -> None:
    site.install("feed-of-mine", "mine = qcfeed_test_mine:connect", qcfeed_test_mine=MODULE)
    plain, secured = connect("mine://h/x?a=1", clock=lambda: 7), connect("MINE+tls://h/")
    assert plain.name == secured.name == "mine: at h"
    assert plain.health().connected
    assert plain.knows(Symbol("AAPL"))
    assert plain.url.clock() == 7  # type: ignore[attr-defined]
    assert (plain.url.text, secured.url.scheme) == ("mine://h/x?a=1", "mine+tls")  # type: ignore[attr-defined]


def test_an_unknown_scheme_lists_what_is_installed(site: Site) -> None:
    site.install("feed-of-mine", "mine = qcfeed_test_mine:connect", qcfeed_test_mine=MODULE)
    error = refusal("other://me:secret@host/")
    assert error.message == "upstream other: has the unknown scheme 'other'"
    assert (error.hint or "").endswith("mine: (from feed-of-mine 1.0)")
    assert "only letters, digits" in refusal("my_feed://me:secret@host").message


@pytest.mark.parametrize(
    ("target", "said", "hint"),
    [
        ("qcfeed_test_no:connect", "cannot be imported: ModuleNotFoundError: No module", "pip"),
        ("qcfeed_test_mine:nothing", "cannot be imported: AttributeError: ", "pip install"),
        ("qcfeed_test_mine", "qcfeed_test_mine is not a function", "pip install"),
        ("qcfeed_test_mine:CONSTANT", "CONSTANT is not a function", "pip install"),
        ("qcfeed_test_wrong:connect", "cannot be imported: SyntaxError", "pip install"),
        ("qcfeed_test_exits:connect", "cannot be imported: SystemExit", "pip install"),
        ("qcfeed_test_mine:fails", "KeyError: 'no such key' (at ", "tell its author"),
        ("qcfeed_test_mine:leaves", "could not create its upstream: SystemExit", "pip install"),
        ("qcfeed_test_mine:abstract", "TypeError: ", "pip install"),
        (
            "qcfeed_test_mine:half",
            "returned Half, which lacks run, symbols, health, close",
            "docs/",
        ),
        ("qcfeed_test_mine:forgets_await", "is a coroutine function", "ordinary function"),
        ("qcfeed_test_mine:dict", "cannot be imported: AttributeError", "pip install"),
    ],
)
def test_a_broken_package_is_named_with_its_fault(
    site: Site, target: str, said: str, hint: str
) -> None:
    site.install(
        "feed-of-mine", f"mine = {target}",
        qcfeed_test_mine=MODULE, qcfeed_test_wrong="def", qcfeed_test_exits="raise SystemExit(1)",
    )  # fmt: skip
    error = refusal("mine://me:secret@host/")
    assert "the upstream mine: (from feed-of-mine 1.0) is broken: " in error.message
    assert said in error.message
    assert hint in (error.hint or "")
    assert connect("sim:").name == "sim:?rate=1&seed=0", "the others are not concerned"


def test_an_entry_point_that_names_nothing_is_told_with_its_package(site: Site) -> None:
    site.install("feed-of-mine", "mine = not an object!")
    error = refusal("mine://me:secret@host/")
    assert "feed-of-mine 1.0" in error.message
    assert "cannot be imported" in error.message
    assert "pip install" in (error.hint or "")
    assert connect("sim:").name == "sim:?rate=1&seed=0", "the others are not concerned"


def test_two_packages_with_one_scheme_are_an_error(site: Site) -> None:
    site.install("feed-of-mine", "mine = qcfeed_test_mine:connect", qcfeed_test_mine=MODULE)
    site.install("feed-of-yours", "mine = qcfeed_test_mine:connect")
    error = refusal("mine:")
    assert "several packages provide the upstream mine" in error.message
    assert "feed-of-mine 1.0" in error.message
    assert "feed-of-yours 1.0" in error.message


def test_a_built_in_upstream_cannot_be_replaced(site: Site) -> None:
    site.install("feed-of-mine", "sim = qcfeed_test_mine:connect", qcfeed_test_mine=MODULE)
    assert type(connect("sim:")) is Simulator


def test_coinbase_has_two_transports() -> None:
    error = refusal("coinbase+ftp://host/")
    assert "unknown transport 'ftp'" in error.message
    assert "coinbase+wss" in (error.hint or "")
