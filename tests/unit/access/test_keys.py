"""API keys and their file's content."""

from __future__ import annotations

import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcfeed import rfc3339
from qcfeed.access import keys
from qcfeed.access.denial import DenialReason, Denied
from qcfeed.access.keys import KeyDocument, Keys, StoredKey
from qcfeed.control.redact import redact
from qcfeed.errors import ConfigError
from tests.support.access import stored

TOKEN = "qcf_" + "Ab1-_" * 8 + "xyz"
"""A fixed one: pytest-xdist needs the same names of tests in every worker."""


def test_a_key_is_256_random_bits_behind_a_prefix() -> None:
    assert keys.has_key_form(TOKEN)
    assert TOKEN.startswith("qcf_")
    assert len(TOKEN) == len("qcf_") + 43
    assert len({keys.generate() for _ in range(100)}) == 100


def test_a_key_is_recognised_and_its_file_does_not_contain_it() -> None:
    document = KeyDocument([stored("desk", TOKEN, "AAPL")])
    assert TOKEN.encode() not in keys.encode(document)
    found = Keys(document.keys).identify(TOKEN, time.time())
    assert (found.name, found.method, found.ends_at) == ("desk", "key", None)
    assert found.symbols.allows("AAPL")
    assert not found.symbols.allows("MSFT")


@pytest.mark.parametrize(
    "wrong",
    [TOKEN[:-1] + "~", TOKEN + "x", TOKEN.upper(), "", "qcf_"],
    ids=["another character", "longer", "upper case", "empty", "only the prefix"],
)
def test_another_key_is_refused(wrong: str) -> None:
    with pytest.raises(Denied) as denied:
        Keys([stored("desk", TOKEN)]).identify(wrong, time.time())
    assert denied.value.reason is DenialReason.UNKNOWN_KEY
    assert not wrong or wrong not in denied.value.message


def test_a_key_expires() -> None:
    held = Keys([stored("desk", TOKEN, expires=1_000)])
    assert held.identify(TOKEN, 999).ends_at == 1_000
    with pytest.raises(Denied) as denied:
        held.identify(TOKEN, 1_000)
    assert denied.value.reason is DenialReason.EXPIRED


def test_a_revoked_key_is_not_current() -> None:
    identity = Keys([stored("desk", TOKEN)]).identify(TOKEN, 0)
    assert Keys([stored("desk", TOKEN, "AAPL")]).current(identity, 0).symbols.patterns == ("AAPL",)
    for others in ([], [stored("desk", keys.generate())]):
        with pytest.raises(Denied):
            Keys(others).current(identity, 0)


names = st.text(string.ascii_letters + string.digits, min_size=1, max_size=20)
documents = st.lists(
    st.builds(
        StoredKey,
        name=names,
        sha256=st.integers(0, 2**256 - 1).map(lambda n: f"{n:064x}"),
        symbols=st.lists(st.text("ABC.-*1", min_size=1, max_size=16), max_size=5),
        created=st.integers(0, 4_000_000_000).map(rfc3339.seconds),
        expires=st.none() | st.integers(0, 4_000_000_000).map(rfc3339.seconds),
    ),
    max_size=5,
    unique_by=(lambda key: key.name, lambda key: key.sha256),
).map(KeyDocument)


@given(documents)
def test_a_file_of_keys_is_read_as_it_was_written(document: KeyDocument) -> None:
    assert keys.decode(keys.encode(document)) == document


@given(st.integers(0, 4_000_000_000))
def test_a_time_is_read_as_it_was_written(seconds: int) -> None:
    assert keys.timestamp(rfc3339.seconds(seconds)) == seconds


ENTRY = (
    '{"name":"desk","sha256":"'
    + "0" * 64
    + '","created":"2024-03-20T02:15:00Z","symbols":["AAPL"]}'
)


@pytest.mark.parametrize(
    "content",
    [
        "not JSON",
        "[]",
        "{}",
        '{"schema":"qcfeed.keys/2","keys":[]}',
        '{"schema":"qcfeed.keys/1","keys":null}',
        '{"schema":"qcfeed.keys/1","keys":[null]}',
        '{"schema":"qcfeed.keys/1","keys":[],"more":1}',
        '{"schema":"qcfeed.keys/1","keys":[' + ENTRY.replace("desk", "a b") + "]}",
        '{"schema":"qcfeed.keys/1","keys":[' + ENTRY.replace("desk", "a\\n") + "]}",
        '{"schema":"qcfeed.keys/1","keys":[' + ENTRY.replace("0" * 64, "0" * 63) + "]}",
        '{"schema":"qcfeed.keys/1","keys":[' + ENTRY.replace("AAPL", "A PL") + "]}",
        '{"schema":"qcfeed.keys/1","keys":[' + ENTRY.replace("-03-20", "-13-20") + "]}",
        '{"schema":"qcfeed.keys/1","keys":[' + ENTRY.replace('"symbols"', '"symbol"') + "]}",
        '{"schema":"qcfeed.keys/1","keys":[' + ENTRY + "," + ENTRY + "]}",
        "[" * 100_000,
    ],
)
def test_a_malformed_file_is_one_clear_error(content: str) -> None:
    with pytest.raises(ConfigError, match="not a file of keys"):
        keys.decode(content.encode())


def test_an_empty_file_has_no_keys() -> None:
    assert keys.decode(b"\n").keys == []


@pytest.mark.parametrize(
    "secret",
    [TOKEN, "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJlLWJ5dGVz"],
    ids=["key", "token"],
)
@pytest.mark.parametrize("text", ["{}", "see {}, please", "http://h/stream?x={}", '{{"a":"{}"}}'])
def test_a_key_or_token_is_removed_from_reports_wherever_it_occurs(text: str, secret: str) -> None:
    said = redact(text.format(secret))
    assert secret not in said
    assert "[redacted]" in said
    assert redact(said) == said
