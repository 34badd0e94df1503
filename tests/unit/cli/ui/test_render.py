from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from qcfeed.cli.context import Format
from qcfeed.cli.ui import render
from qcfeed.cli.ui.table import Column, Table

TABLE: Table[str] = Table(
    (Column("name", value=lambda s: s), Column(key="size_b", value=len, header="SIZE")),
    identity=lambda s: s,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("output", "printed"),
    [
        (Format.TABLE, "NAME   SIZE\na b    3\nlonger  6\nall    3\n".replace("a b    ", "a b     ")
            .replace("NAME   ", "NAME    ").replace("all    ", "all     ")),
        (Format.JSON, '{"x": 1}\n'),
        (Format.CSV, "name,size_b\na b,3\nlonger,6\n"),
        (Format.NAME, "a b\nlonger\n"),
    ],
)  # fmt: skip
def test_one_description_many_formats(
    output: Format, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    render.show(output, TABLE, ["a b", "longer"], raw=b'{"x": 1}', total="all")
    assert capsys.readouterr() == (printed, "")


def test_piped_rows_are_whole_whatever_the_terminals_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    render.show(Format.TABLE, TABLE, ["x" * 500], raw=b"")
    assert "x" * 500 in capsys.readouterr().out


@pytest.mark.parametrize(
    ("terminal", "variables", "coloured"),
    [
        (False, {}, False),
        (True, {}, True),
        (True, {"TERM": "dumb"}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (False, {"FORCE_COLOR": "1"}, True),
        (True, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colour(
    terminal: bool, variables: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert render.coloured(Terminal() if terminal else io.StringIO()) is coloured


def test_a_terminal_gets_its_width_and_a_note_of_hidden_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    table = Table((*TABLE.columns, Column("note", value=lambda s: "n" * 30, rank=1)), str)
    terminal = Terminal()
    render.draw(table, ["x" * 30], stream=terminal)
    assert max(map(len, terminal.getvalue().replace("\x1b[1m", "").splitlines())) <= 50
    assert capsys.readouterr().err == "terminal too narrow for NOTE: use -o wide\n"
    wide = Terminal()
    render.draw(table, ["x" * 30], wide=True, stream=wide)
    assert "n" * 30 in wide.getvalue()


def test_a_closed_pipe_is_not_an_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        render.emit("x" * 200_000, stream)


def test_progress_is_silent_when_piped(capsys: pytest.CaptureFixture[str]) -> None:
    with render.progress("cycles", 3) as advance:
        advance(3)
    assert capsys.readouterr() == ("", "")


def test_csv_has_numbers_as_a_spreadsheet_wants_them(capsys: pytest.CaptureFixture[str]) -> None:
    table: Table[dict[str, object]] = Table(
        tuple(
            Column(key=key, value=lambda row, key=key: row[key])
            for key in ("age_s", "live", "note")
        ),  # type: ignore[misc]
        identity=lambda row: str(row["live"]),
    )
    render.show(Format.CSV, table, [{"age_s": 5.928374651, "live": 47_829, "note": None}], raw=b"")
    assert capsys.readouterr().out == "age_s,live,note\n5.928,47829,\n"
