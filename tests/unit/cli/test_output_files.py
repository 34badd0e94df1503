"""Files that commands leave behind: whole, private, and never over another one without --force."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qcfeed.cli import output_files
from qcfeed.errors import NeedsConfirmationError, UsageError


def test_an_existing_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    file = tmp_path / "evidence"
    output_files.write(file, b"first", force=False)
    for refuse in (
        lambda: output_files.check(file, force=False),
        lambda: output_files.write(file, b"second", force=False),
    ):
        with pytest.raises(NeedsConfirmationError, match="already exists"):
            refuse()
    assert file.read_bytes() == b"first"
    output_files.check(file, force=True)
    output_files.write(file, b"second", force=True)
    assert file.read_bytes() == b"second"
    assert [each.name for each in tmp_path.iterdir()] == ["evidence"], "nothing beside it"


def test_evidence_is_private_and_other_files_follow_the_umask(tmp_path: Path) -> None:
    output_files.write(tmp_path / "a", b"", force=False)
    before = os.umask(0o027)
    try:
        output_files.write(tmp_path / "b", b"", force=False, mode=output_files.PUBLIC)
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in "ab"] == [0o600, 0o640]


def test_a_link_stays_and_its_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    output_files.write(tmp_path / "link", b"x", force=False)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"x"
    with pytest.raises(NeedsConfirmationError):
        output_files.write(tmp_path / "link", b"y", force=False)


@pytest.mark.parametrize("force", [False, True])
def test_devices_pipes_and_directories_are_not_replaced(tmp_path: Path, force: bool) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (Path("/dev/null"), tmp_path / "pipe", tmp_path):
        for refuse in (
            lambda path=path: output_files.check(path, force=force),
            lambda path=path: output_files.write(path, b"x", force=force),
        ):
            with pytest.raises(UsageError, match="cannot write"):
                refuse()
    assert Path("/dev/null").is_char_device()


def test_a_file_that_appears_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, real = tmp_path / "evidence", os.fsync

    def another_writes_it(descriptor: int) -> None:
        real(descriptor)
        file.write_bytes(b"theirs")

    monkeypatch.setattr(os, "fsync", another_writes_it)
    with pytest.raises(NeedsConfirmationError, match="already exists"):
        output_files.write(file, b"ours", force=False)
    assert file.read_bytes() == b"theirs"


def test_two_outputs_are_two_files(tmp_path: Path) -> None:
    output_files.check_different(tmp_path / "a", None, tmp_path / "b")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(UsageError, match="named twice"):
        output_files.check_different(tmp_path / "a", tmp_path / "link")
