"""``qcfeed keys`` and the file that it changes."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from qcfeed.access import keys
from qcfeed.access.keys import KeyDocument
from qcfeed.cli.keys import key_file
from qcfeed.errors import ConfigError, QcfeedError, UnreachableError
from tests.support.access import stored

from .conftest import Left

Command = Callable[..., Left]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_a_key_is_printed_once_and_its_hash_is_stored(qcfeed_: Command, file: Path) -> None:
    added = qcfeed_("keys", "add", "desk-7", "--keys", str(file))
    assert added.status == 0
    token = added.out.rstrip("\n")
    assert keys.has_key_form(token)
    assert token not in added.err
    assert token not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    [entry] = keys.decode(file.read_bytes()).keys
    assert (entry.name, entry.symbols, entry.expires) == ("desk-7", ["*"], None)
    assert entry.sha256 == keys.digest(token)
    assert token not in qcfeed_("keys", "list", "--keys", str(file), "-o", "wide").out


def test_symbols_and_an_end_are_stored_and_listed(qcfeed_: Command, file: Path) -> None:
    more = ("--symbols", "aapl, BTC-*", "--expires", "2199-01-31")
    added = json.loads(
        qcfeed_("keys", "add", "guest", *more, "--keys", str(file), "-o", "json").out
    )
    assert added["schema"] == "qcfeed.keys.added/1"
    assert added["symbols"] == ["AAPL", "BTC-*"]
    listed = json.loads(qcfeed_("keys", "list", "--keys", str(file), "-o", "json").out)
    assert listed["keys"][0] | {"created": ""} == {
        "name": "guest", "symbols": ["AAPL", "BTC-*"], "created": "",
        "expires": "2199-01-31T00:00:00Z", "expired": False,
    }  # fmt: skip
    assert qcfeed_("keys", "list", "--keys", str(file), "-o", "name").out == "guest\n"


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (("add", "desk"), 2, "there is a key desk already"),
        (("add", "a b"), 2, "not a name"),
        (("add", "desk\n"), 2, "not a name"),
        (("add", "--", "-x"), 2, "not a name"),
        (("add", "x", "--symbols", "A B"), 2, "not a symbol"),
        (("add", "x", "--symbols", ""), 2, "not a symbol"),
        (("add", "x", "--expires", "2020-01-01"), 2, "not in the future"),
        (("add", "x", "--expires", "9999999d"), 2, "too far"),
        (("add", "x", "--expires", "soon"), 2, "not a duration"),
        (("revoke", "other"), 2, "no key other"),
        (("revoke", "desk", "other"), 2, "nothing was revoked"),
    ],
)
def test_what_cannot_be_done_changes_nothing(
    qcfeed_: Command, file: Path, monkeypatch: pytest.MonkeyPatch,
    args: tuple[str, ...], status: int, words: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("QCFEED_KEYS", str(file))
    assert qcfeed_("keys", "add", "desk").status == 0
    before = file.read_bytes()
    left = qcfeed_("keys", *args)
    assert (left.status, left.out) == (status, "")
    assert words in left.err
    assert file.read_bytes() == before


def test_a_revoked_key_is_gone(qcfeed_: Command, file: Path) -> None:
    for name in ("a", "b", "c"):
        qcfeed_("keys", "add", name, "--keys", str(file))
    assert qcfeed_("keys", "revoke", "a", "c", "a", "--keys", str(file)).status == 0
    assert [each.name for each in keys.decode(file.read_bytes()).keys] == ["b"]


def test_without_a_file_the_command_says_how_to_name_one(qcfeed_: Command) -> None:
    left = qcfeed_("keys", "list")
    assert left.status == 2
    assert "--keys FILE" in left.err


def test_a_file_that_does_not_exist_is_not_created_by_revoking(
    qcfeed_: Command, file: Path
) -> None:
    assert qcfeed_("keys", "revoke", "a", "--keys", str(file)).status == 2
    assert not file.exists()


# ---------------------------------------------------------------- the file


def _add(name: str) -> Callable[[KeyDocument], KeyDocument]:
    return lambda document: KeyDocument([*document.keys, stored(name, keys.generate())])


def test_of_several_changes_at_once_none_is_lost(file: Path) -> None:
    def many(prefix: str) -> None:
        for n in range(20):
            key_file.change(file, _add(f"{prefix}{n}"))

    threads = [threading.Thread(target=many, args=(prefix,)) for prefix in "abc"]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(key_file.read(file).keys) == 60
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_a_change_that_fails_leaves_the_file_and_nothing_beside_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_file.change(file, _add("a"))
    before = file.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(UnreachableError, match="No space left"):
            key_file.change(file, _add("b"))
    assert file.read_bytes() == before
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_a_link_stays_a_link(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(file)
    key_file.change(link, _add("a"))
    assert link.is_symlink()
    assert len(key_file.read(file).keys) == 1


def _writable(file: Path) -> None:
    file.write_text('{"schema":"qcfeed.keys/1","keys":[]}')
    file.chmod(0o622)


def _malformed(file: Path) -> None:
    file.write_text("{")


def _loop(file: Path) -> None:
    file.symlink_to(file)


@pytest.mark.parametrize("spoil", [_writable, _malformed, _loop, Path.mkdir, os.mkfifo])
def test_a_file_that_cannot_be_trusted_is_neither_read_nor_replaced(
    file: Path, spoil: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qcfeed.files.PIPE_TIMEOUT", 0.05)
    spoil(file)
    for attempt in (lambda: key_file.read(file), lambda: key_file.change(file, _add("a"))):
        with pytest.raises(QcfeedError) as error:
            attempt()
        assert str(file) in error.value.message


def test_an_invalid_file_is_named(file: Path) -> None:
    file.write_text("{")
    with pytest.raises(ConfigError, match=r"keys\.json: it is not a file of keys"):
        key_file.read(file)
