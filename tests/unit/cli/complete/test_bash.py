from __future__ import annotations

import pytest

from qcfeed.cli.complete.bash import TypedLine

BREAKS = " \t\n\"'@><=;|&(:"
"""What an interactive bash has."""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("qcfeed ", [""]),
        ("qcfeed  ta", ["ta"]),
        ("qcfeed tasks ", ["tasks", ""]),
        ("qcfeed --from 'a file' x", ["--from", "a file", "x"]),
        ("qcfeed --from a\\ file", ["--from", "a file"]),
        ('qcfeed --name "feed A', ["--name", "feed A"]),
        ('qcfeed --name "a\\"b', ["--name", 'a"b']),
        ("qcfeed --name 'a\\", ["--name", "a\\"]),
        ("qcfeed --name '' ", ["--name", "", ""]),
    ],
)
def test_a_line_is_split_as_the_shell_does(line: str, words: list[str]) -> None:
    assert TypedLine(BREAKS, line).words == words


@pytest.mark.parametrize(
    ("typed", "candidate", "rest"),
    [
        ("qc", "qcfeed/run.py:37", "qcfeed/run.py:37"),
        ("qcfeed/run.py:", "qcfeed/run.py:37", "37"),
        ("--site=qc", "--site=qcfeed/run.py:37", "qcfeed/run.py:37"),
        ("--site=qcfeed/run.py:3", "--site=qcfeed/run.py:37", "37"),
        ("'qcfeed/run.py:3", "qcfeed/run.py:37", "qcfeed/run.py:37"),
        ("qcfeed/run.py\\:3", "qcfeed/run.py:37", "qcfeed/run.py:37"),
        ("<fro", "<frozen x>:1", "\\<frozen\\ x\\>:1"),
        ("'<fro", "<frozen x>:1", "<frozen x>:1"),
    ],
)
def test_only_the_part_that_readline_replaces_is_printed(
    typed: str, candidate: str, rest: str
) -> None:
    assert TypedLine(BREAKS, f"qcfeed tasks {typed}").format(candidate) == rest


def test_without_the_colon_in_wordbreaks_the_whole_word_is_replaced() -> None:
    line = TypedLine(BREAKS.replace(":", ""), "qcfeed tasks --site run.py:3")
    assert line.format("run.py:37") == "run.py:37"


def test_a_candidate_that_does_not_continue_the_word_does_not_fit() -> None:
    line = TypedLine(BREAKS, "qcfeed watch aa")
    assert line.format("MSFT") is None
    assert line.format("AAPL") == "AAPL", "capitals or not"
