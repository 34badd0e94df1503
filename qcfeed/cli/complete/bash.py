"""What is peculiar to bash: it hands over a line, and replaces only a part of the word at the cursor.

readline breaks words at the characters of ``COMP_WORDBREAKS`` too (bash(1), "Programmable
Completion"): of ``feed.py:6`` it replaces ``6``, of ``--site=fe`` it replaces ``fe``.
"""

from __future__ import annotations

SPECIAL = frozenset(" \t\n\\'\"`$&|;<>(){}*?[]!#~^")
"""What the shell would take for its own in a bare word."""


class Typed:
    """A line up to the cursor. ``words``: without the program, quotes and escapes taken off."""

    def __init__(self, breaks: str, line: str) -> None:
        self._quote = ""
        words, bare = self._split(line)
        self.words = words[1:]
        self._word = words[-1] if self.words else ""
        kept = max((bare.rfind(each) for each in breaks if each in ":="), default=-1) + 1
        self._kept = 0 if self._quote else kept

    def form(self, candidate: str, _: str = "") -> str | None:
        """What bash should put in place of the part of the word that it would replace.

        None for a candidate that does not continue the word; a symbol in small letters is one.
        """
        if not candidate.lower().startswith(self._word.lower()):
            return None
        rest = candidate[self._kept :]
        if self._quote:
            return rest
        return "".join(f"\\{each}" if each in SPECIAL else each for each in rest)

    def _split(self, line: str) -> tuple[list[str], str]:
        """The words of the line, and the last one with what was quoted in it blotted out."""
        words, bare, begun, escaped = [""], "", False, False
        for each in line:
            if each in " \t\n" and not (escaped or self._quote):
                if begun:
                    words.append("")
                    bare = ""
                begun = False
                continue
            begun = True
            if escaped or (self._quote and each not in (self._quote, "\\")):
                words[-1] += each
                bare += " "
                escaped = False
            elif each == "\\" and self._quote != "'":
                escaped = True
            elif each in "'\"":
                self._quote = "" if self._quote else each
            else:
                words[-1] += each
                bare += each
        return words, bare
