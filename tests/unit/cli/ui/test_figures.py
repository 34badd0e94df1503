from __future__ import annotations

import pytest

from qcfeed.cli.context import Format
from qcfeed.cli.ui.figures import LabelledValue, show_figures

FIGURES = [LabelledValue("tasks", "3 live"), LabelledValue("orphans", "1 task", "red")]
RAW = b'{"pid":7,"tasks":{"live":3},"names":["a","b"],"drill":null}'


@pytest.mark.parametrize(
    ("output", "printed"),
    [
        (Format.TABLE, "tasks    3 live\norphans  1 task\n"),
        (Format.JSON, RAW.decode() + "\n"),
        (Format.CSV, "item,value\npid,7\ntasks.live,3\nnames.0,a\nnames.1,b\ndrill,\n"),
        (Format.NAME, "8006\n"),
    ],
)
def test_formats(output: Format, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_figures(output, FIGURES, raw=RAW, names=["8006"])
    assert capsys.readouterr() == (printed, "")
