"""Which colours the screen has: told by the user, by a variable, or by the terminal itself."""

from __future__ import annotations

import os
import pty
import termios
import threading
import time

import pytest

from qcfeed.cli.top import theme
from qcfeed.cli.top.theme import DARK, LIGHT, Theme, ThemeName, choose

WHITE, BLACK = b"\x1b]11;rgb:ffff/ffff/ffff\x1b\\", b"\x1b]11;rgb:0000/0000/0000\x07"
KIND = b"\x1b[?62;22c"


@pytest.mark.parametrize(
    ("wanted", "variable", "answer", "chosen"),
    [
        (ThemeName.LIGHT, "15;0", BLACK, LIGHT),
        (ThemeName.DARK, "0;15", WHITE, DARK),
        (ThemeName.AUTO, "0;15", BLACK, LIGHT),
        (ThemeName.AUTO, "15;default;0", WHITE, DARK),
        (ThemeName.AUTO, "0;8", WHITE, DARK),
        (ThemeName.AUTO, "0;7", BLACK, LIGHT),
        (ThemeName.AUTO, "15;default", WHITE, LIGHT),
        (ThemeName.AUTO, "", WHITE, LIGHT),
        (ThemeName.AUTO, "", BLACK, DARK),
        (ThemeName.AUTO, "", b"\x1b]11;rgba:fd/f6/e3/ff\x07" + KIND, LIGHT),
        (ThemeName.AUTO, "", b"\x1b]11;rgb:2/2/2\x07", DARK),
        (ThemeName.AUTO, "", KIND, DARK),
        (ThemeName.AUTO, "", b"", DARK),
        (ThemeName.AUTO, "x;y", b"\x1b]11;rgb:", DARK),
    ],
)
def test_what_is_said_wins_then_the_variable_then_the_terminal(
    wanted: ThemeName, variable: str, answer: bytes, chosen: Theme
) -> None:
    assert choose(wanted, {"COLORFGBG": variable}, lambda: answer) is chosen


def test_a_terminal_is_not_asked_if_it_need_not_be() -> None:
    def ask() -> bytes:
        raise AssertionError

    assert choose(ThemeName.LIGHT, {}, ask) is LIGHT
    assert choose(ThemeName.AUTO, {"COLORFGBG": "0;15"}, ask) is LIGHT


def test_a_light_screen_has_no_colour_that_is_pale_on_white() -> None:
    for name in ("yellow", "green", "red", "cyan"):
        colour = LIGHT.style(name)
        red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)
        ]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert 1.05 / (luminance + 0.05) >= 4.5, f"{name}: WCAG's contrast for text"
        assert DARK.style(name) == name
    assert LIGHT.style(None) == ""
    assert LIGHT.style("bold") == "bold"


@pytest.mark.parametrize("answers", [WHITE + KIND, KIND, b""])
def test_a_terminal_that_answers_ends_the_wait_and_keeps_its_modes(
    answers: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    if answers:
        monkeypatch.setattr(theme, "QUERY_S", 60.0)
    keyboard, terminal = pty.openpty()
    asked = []

    def answer() -> None:
        asked.append(os.read(keyboard, 100))
        os.write(keyboard, answers)

    answering = threading.Thread(target=answer)
    try:
        before = termios.tcgetattr(terminal)
        answering.start()
        began = time.monotonic()
        assert theme.asked(terminal) == answers
        assert time.monotonic() - began < 60
        assert termios.tcgetattr(terminal) == before
        assert asked == [b"\x1b]11;?\x1b\\\x1b[c"]
    finally:
        answering.join()
        os.close(keyboard)
        os.close(terminal)
