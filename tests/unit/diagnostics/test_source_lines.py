from __future__ import annotations

import importlib
import sys
import zipfile
from pathlib import Path

import pytest

from qcfeed.diagnostics import source_lines
from qcfeed.diagnostics.site import short_path


def test_a_line_of_an_imported_file() -> None:
    place = f"{short_path(source_lines.__file__)}:1"
    assert source_lines.source_line(place).startswith('"""The text of source lines')


@pytest.mark.parametrize(
    "place",
    ["/etc/passwd:1", "etc/passwd:1", "qcfeed/diagnostics/source_lines.py", "other", "", "x:y"],
)
def test_files_that_are_not_imported_are_not_read(place: str) -> None:
    assert source_lines.source_line(place) == ""


def test_a_missing_line_is_left_out() -> None:
    place = f"{short_path(source_lines.__file__)}:"
    assert set(source_lines.source_lines([place + "999999", place + "1"])) == {place + "1"}


def test_a_file_that_changes_is_read_again_and_a_long_line_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "told_of.py"
    file.write_text("spawn = 1\n")
    importlib.import_module("told_of")
    try:
        assert source_lines.source_line("told_of.py:1") == "spawn = 1"
        file.write_text("x = " + "9" * 1000 + "\n")
        assert len(source_lines.source_line("told_of.py:1")) == source_lines.MAX_LINE
    finally:
        del sys.modules["told_of"]


def test_a_module_in_a_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.writestr("zipped_one.py", "# the line\n")
    monkeypatch.syspath_prepend(str(tmp_path / "packed.zip"))
    importlib.import_module("zipped_one")
    try:
        assert source_lines.source_line("zipped_one.py:1") == "# the line"
    finally:
        del sys.modules["zipped_one"]
