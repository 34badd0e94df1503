"""The colours of ``qcfeed top`` for a dark and for a light background, and which of them a terminal has."""

from __future__ import annotations

import contextlib
import os
import re
import select
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple

QUERY_S = 0.25
"""Seconds to wait for a terminal's answer: over a slow connection the dark theme is taken."""
_LONGEST = 4_096
_ASK_BACKGROUND = b"\x1b]11;?\x1b\\"
_ASK_KIND = b"\x1b[c"
"""Every terminal answers this one, after those before it: there is no need to wait for the time limit."""
_KIND = re.compile(rb"\x1b\[\?[\d;]*c")
_COLOUR = re.compile(rb"\x1b\]11;rgba?:([\da-fA-F]+)/([\da-fA-F]+)/([\da-fA-F]+)")
_WEIGHTS = (0.2126, 0.7152, 0.0722)
"""How bright red, green and blue appear."""
_LIGHT_FROM = 0.5
_LIGHT_COLOURS = (7, *range(9, 16))
"""Backgrounds of COLORFGBG that are light: white and the bright colours, but not bright black."""


class ThemeName(StrEnum):
    """The value of ``--theme``."""

    AUTO = "auto"
    DARK = "dark"
    LIGHT = "light"


class Theme(NamedTuple):
    """``textual``: the name of Textual's theme; ``colours``: what stands for a colour of the lists."""

    textual: str
    colours: Mapping[str, str]

    def style(self, colour: str | None) -> str:
        """The style of Rich for a colour of a list; empty for none."""
        return self.colours.get(colour or "", colour or "")


DARK = Theme("ansi-dark", {})
LIGHT = Theme(
    "ansi-light", {"yellow": "#7a4e00", "green": "#0f6b2f", "red": "#b00020", "cyan": "#00606b"}
)
"""A terminal's own yellow and green are hardly readable on white."""


def choose(wanted: ThemeName, environ: Mapping[str, str], ask: Callable[[], bytes]) -> Theme:
    """The theme that is wanted; for ``auto``, that of the terminal's background, dark if it is not known.

    ``ask`` returns what the terminal answers to a query for its background.
    """
    if wanted is ThemeName.AUTO:
        light = light_by_variable(environ.get("COLORFGBG", ""))
        light = light_by_answer(ask()) if light is None else light
    else:
        light = wanted is ThemeName.LIGHT
    return LIGHT if light else DARK


def light_by_variable(text: str) -> bool | None:
    """Whether COLORFGBG (``15;0``, ``0;default;15``) names a light background; None if it names none."""
    background = text.rpartition(";")[2]
    return int(background) in _LIGHT_COLOURS if background.isdecimal() else None


def light_by_answer(answer: bytes) -> bool:
    """Whether a terminal answered OSC 11 with a light colour: ``rgb:ffff/ffff/dddd``."""
    found = _COLOUR.search(answer)
    if found is None:
        return False
    parts: list[float] = [int(part, 16) / (16 ** len(part) - 1) for part in found.groups()]
    return bool(sum(w * p for w, p in zip(_WEIGHTS, parts, strict=True)) > _LIGHT_FROM)


def ask_terminal() -> bytes:
    """What the controlling terminal answers within QUERY_S; empty if there is none."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return b""
    try:
        return asked(terminal)
    finally:
        os.close(terminal)


def asked(terminal: int) -> bytes:
    """What this terminal answers within QUERY_S. Its modes are as before at the end."""
    import termios
    import tty

    before = termios.tcgetattr(terminal)
    answer = b""
    deadline = time.monotonic() + QUERY_S
    try:
        tty.setcbreak(terminal)
        os.write(terminal, _ASK_BACKGROUND + _ASK_KIND)
        while not _KIND.search(answer) and len(answer) < _LONGEST:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([terminal], [], [], left)[0]:
                break
            answer += os.read(terminal, _LONGEST)
    finally:
        with contextlib.suppress(termios.error):
            # Flushed: the rest of an answer must not be taken for keys.
            termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
    return answer
