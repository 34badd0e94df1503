"""What someone may have meant by a name that does not exist."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 100
"""Characters of a name that are compared: the time of a comparison grows with their square."""


def closest(name: str, known: Iterable[str], most: int = 1) -> list[str]:
    """The known names that are like ``name``, in any case; the closest first."""
    import difflib  # imported here: only for errors

    by_form = {each.casefold(): each for each in known}
    found = difflib.get_close_matches(name[:_LONGEST].casefold(), by_form, n=most)
    return [by_form[each] for each in found]
