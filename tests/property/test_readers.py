"""Readers of foreign bytes end with a result or with their own kind of error, whatever the bytes."""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qcfeed.config import Config
from qcfeed.config.loading import load_group
from qcfeed.errors import ConfigError, UsageError
from qcfeed.metrics import prometheus_answers as answers
from qcfeed.model.json_errors import JSON_ERRORS
from qcfeed.observe import bundle
from qcfeed.upstreams import coinbase_messages as protocol
from qcfeed.upstreams.coinbase_book import Product
from qcfeed.upstreams.replay import load

TEXT = st.text(max_size=20) | st.sampled_from(
    ["BTC-USD", "buy", "1", "1e9", "2024-03-20T02:15:00Z"]
)
LEAF = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
VALUE = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4)
)
TYPES = st.sampled_from(["snapshot", "l2update", "ticker", "heartbeat", "subscriptions", "error"])
FIELDS = ("product_id", "bids", "asks", "changes", "time", "sequence", "price", "trade_id",
          "last_trade_id", "channels", "message", "reason")  # fmt: skip


def objects(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects with some of these keys, and any values."""
    return st.dictionaries(st.sampled_from(names) | TEXT, VALUE, max_size=8)


def kept(directory: Path, content: bytes) -> Path:
    path = directory / "file"
    path.write_bytes(content)
    return path


def error_of(kind: type[Exception], read: Callable[[], object]) -> str:
    """What the reader says of its input; nothing if it took it. Any other exception is a failure."""
    try:
        read()
    except kind as error:
        return str(error)
    return ""


same_directory = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(st.binary() | st.builds(lambda kind, rest: json.dumps({"type": kind, **rest}).encode(), TYPES, objects(*FIELDS)))  # fmt: skip
def test_a_message_of_an_exchange(raw: bytes) -> None:
    def read() -> None:
        message = protocol.decode(raw)
        if isinstance(message, protocol.ProductMessage):
            Product().apply(message, "2024-03-20T02:15:00Z")

    assert len(error_of(ValueError, read)) <= 500


@given(st.binary() | st.builds(lambda rest: json.dumps({"status": "success", "data": rest}).encode(),
       objects("result", "alerts", "groups", "metric", "values")))  # fmt: skip
@pytest.mark.parametrize("kind", [answers.AlertsData, answers.RulesData, answers.QueryData])
def test_an_answer_of_a_prometheus(kind: Any, raw: bytes) -> None:
    for is_query in (True, False):
        try:
            _, body = answers.check(raw, is_query=is_query)
            answers.decode(body, kind)
        except JSON_ERRORS:
            pass


@same_directory
@given(raw=st.binary() | objects("at", "message").map(msgspec.json.encode), packed=st.booleans())
def test_a_recording(tmp_path: Path, raw: bytes, packed: bool) -> None:
    for content in (raw + b"\n", b"100.5: " + raw + b"\n"):
        with pytest.raises(ConfigError):
            load(kept(tmp_path, gzip.compress(content) if packed else content))


@same_directory
@given(raw=st.binary(), size=st.integers(-1, 2**40), kind=st.sampled_from([b"0", b"x", b"L", b"5"]))
def test_a_bundle(tmp_path: Path, raw: bytes, size: int, kind: bytes) -> None:
    info = tarfile.TarInfo("answers/x.json")
    info.size, info.type = size, kind
    header = info.tobuf(tarfile.GNU_FORMAT)
    for content in (gzip.compress(raw), gzip.compress(header + raw), b"\x1f\x8b" + raw, raw):
        with pytest.raises(UsageError):
            bundle.unpack(kept(tmp_path, content), content)


@same_directory
@given(raw=st.binary() | st.dictionaries(st.sampled_from(["port", "linger", "upstream"]), VALUE)
       .map(lambda table: "\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items()).encode()))  # fmt: skip
def test_a_configuration(tmp_path: Path, raw: bytes) -> None:
    file = kept(tmp_path, raw)
    said = error_of(ConfigError, lambda: load_group(Config, {}, environment={}, file=file))
    assert len(said) < 1_000
