"""Completion for bash, which passes a whole line and replaces only part of the word at the cursor.

readline also breaks words at the characters of ``COMP_WORDBREAKS`` (bash(1), "Programmable
Completion"): in ``feed.py:6`` it replaces ``6``, in ``--site=fe`` it replaces ``fe``.
"""

from __future__ import annotations

SPECIAL = frozenset(" \t\n\\'\"`$&|;<>(){}*?[]!#~^")
"""The characters that bash interprets in an unquoted word."""


class TypedLine:
    """The line up to the cursor. ``words``: its words without the program name, unquoted."""

    def __init__(self, breaks: str, line: str) -> None:
        self._quote = ""
        words, bare = self._split(line)
        self.words = words[1:]
        self._word = words[-1] if self.words else ""
        kept = max((bare.rfind(each) for each in breaks if each in ":="), default=-1) + 1
        self._kept = 0 if self._quote else kept

    def format(self, candidate: str, _: str = "") -> str | None:
        """What bash must insert in place of the part of the word that it replaces.

        None if the candidate does not continue the word; case is ignored.
        """
        if not candidate.lower().startswith(self._word.lower()):
            return None
        rest = candidate[self._kept :]
        if self._quote:
            return rest
        return "".join(f"\\{each}" if each in SPECIAL else each for each in rest)

    def _split(self, line: str) -> tuple[list[str], str]:
        """The words of the line, and the last one with its quoted characters as blanks."""
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
