"""Formats numbers for people (ages, sizes, rates, counts, times) and makes text safe for a terminal."""

from __future__ import annotations

import itertools

TYPE_CHECKING = False  # completion imports this module, and importing typing takes 5 ms
if TYPE_CHECKING:
    from collections.abc import Mapping

NOTHING = "-"
"""What a table shows for a missing value."""

_AGE_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_WEEK = 7 * 86_400.0
_ALIKE = 1.2
"""Two estimates that differ by less than this factor are shown as one."""
_SIZE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_MILLISECONDS_BELOW = 1.0
_TENTHS_BELOW = 10.0


def age(seconds: float) -> str:
    """A duration in its two largest units: ``3h47m``, ``16s``, ``2.5s``, ``40ms``."""
    if seconds < _MILLISECONDS_BELOW:
        return f"{max(0, int(seconds * 1_000))}ms"
    if seconds < _TENTHS_BELOW:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    for (unit, size), (minor, minor_size) in itertools.pairwise(_AGE_UNITS):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // minor_size:02}{minor}"
    return f"{whole}s"


def time_left(least: float, most: float | None = None) -> str:
    """A time that is estimated, in seconds: ``11m02s left``, ``8m00s to 2h10m left``, ``more than 7 days left``.

    ``most``: the longest estimate, if there are several.
    """
    if least > _WEEK:
        return "more than 7 days left"
    if most is None or most <= _ALIKE * least:
        return f"{age(least)} left"
    return f"{age(least)} to {'more than 7 days' if most > _WEEK else age(most)} left"


def milliseconds(value: float) -> str:
    """A duration in milliseconds, or in seconds from 1,000 ms on: ``0.04 ms``, ``12 ms``, ``5.2 s``."""
    if value >= 1_000:
        return f"{value / 1_000:.1f} s"
    return f"{value:.2g} ms" if value < _TENTHS_BELOW else f"{value:.0f} ms"


def size(number: float) -> str:
    """A size in bytes, in binary units with up to three digits: ``14.2 GiB``, ``640 MiB``."""
    unit = 0
    while number >= 1_000 and unit < len(_SIZE_UNITS) - 1:
        number, unit = number / 1_024, unit + 1
    digits = 1 if unit and number < 100 else 0
    return f"{number:.{digits}f} {_SIZE_UNITS[unit]}"


def unit(prefix: str, *, binary: bool) -> int:
    """The bytes in a unit with the prefix ``k``, ``M``, ``G``, ``T`` or none: a power of 1,024 or 1,000."""
    power = " kmgt".index(prefix.lower() or " ")
    return 1 << 10 * power if binary else int(10 ** (3 * power))


def count(number: int) -> str:
    """A whole number with thousands separators: ``47,829``."""
    return f"{number:,}"


def if_any(number: int, what: str) -> str:
    """``3 waiting, `` as a part of a list; empty for none."""
    return f"{count(number)} {what}, " if number else ""


def decimal(value: float) -> str:
    """A price or size as a plain decimal number, never with an exponent: ``0.00000831``, ``300``."""
    text = repr(value)
    if "e" not in text:
        return text.removesuffix(".0")
    digits, _, exponent = text.partition("e")
    whole, _, fraction = digits.partition(".")
    shift = int(exponent)
    if shift < 0:
        return f"0.{'0' * (-shift - 1)}{whole}{fraction}"
    return f"{whole}{fraction:0<{shift}}"


def rate(per_second: float) -> str:
    """A rate: ``1,240``, ``3.2``, ``0``."""
    if per_second == 0:
        return "0"
    return f"{per_second:,.0f}" if per_second >= 100 else f"{per_second:.1f}"


def clock(timestamp: str) -> str:
    """The time of day of an RFC 3339 timestamp in UTC: ``02:14:59``."""
    return timestamp.partition("T")[2][:8] or timestamp


def signed(value: float) -> str:
    """A rate with its sign: ``+1,551``, ``-0.3``, ``0``."""
    if not value:
        return "0"
    return f"{value:+,.0f}" if abs(value) >= 10 else f"{value:+.1f}"


def labels(several: Mapping[str, str]) -> str:
    """Labels of a task: ``symbol=AAPL client=17``."""
    return " ".join(f"{key}={value}" for key, value in several.items())


def plural(number: int, word: str) -> str:
    """A count with its noun: ``1 task``, ``47,829 tasks``."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def clipped(value: object, length: int = 200) -> str:
    """The text of ``value``, cut to ``length`` characters. For an error message about foreign text."""
    text = str(value)
    return text if len(text) <= length else f"{text[:length]}..."


def printable(text: str) -> str:
    """``text`` on one line, with everything escaped that is not printable.

    Task names, labels and error messages come from strangers. What steers a terminal (escape sequences,
    C1 and other control characters), hides or reorders text (bidirectional marks), or breaks a row in
    two must not reach a terminal or a log.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable_lines(text: str) -> str:
    """``printable`` for text of several lines, which may contain tabs."""
    if text.isprintable():
        return text
    return "".join(
        c if c in "\n\t" or c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def printable_json(raw: bytes) -> str:
    """JSON text with everything escaped that is not printable. It has the same meaning."""
    text = raw.decode()
    if text.isprintable():
        return text
    return "".join(c if c == "\n" or c.isprintable() else _json_escape(c) for c in text)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
