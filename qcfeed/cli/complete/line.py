"""Determines what is at the cursor of a command line: a subcommand, an option or a value of some kind.

Pure. The commands are a table (words.json): by path (``tasks cancel``), each with its subcommands,
options and arguments.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing.TYPE_CHECKING takes 5 ms
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any, TypeAlias

    Value: TypeAlias = "str | list[str] | None"
    """The kind of a value (live.py), or a list of allowed words; None if there is no value."""

    Commands: TypeAlias = "Mapping[str, Mapping[str, Any]]"

FREE = ""
"""The kind of a value that cannot be completed."""


FILES = "files"
"""The kind of a value that the shell completes itself."""

_UNKNOWN = ("", None, False, "")


class Cursor:
    """The words before the cursor, and the word at the cursor.

    ``path`` is the command so far, ``global_options`` the values of the options before it, by name.
    ``value`` is the kind of value at the cursor; ``head`` is the part of the word to keep
    (``--site=``), ``word`` the part to complete.
    """

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self.path = ""
        self.global_options: dict[str, str] = {}
        self.used: set[str] = set()
        self.head = ""
        self.word = ""
        self._arguments = 0
        self._open: str | None = None
        self._only_arguments = False

    @property
    def command(self) -> Mapping[str, Any]:
        return self._commands[self.path]

    @property
    def value(self) -> Value:
        """The kind of value expected at the cursor; None for a subcommand or an option."""
        if self._open is not None:
            return self._kind(self._open)
        if self.subcommand or (self._option(self.word) and not self._only_arguments):
            return None
        arguments: Sequence[tuple[Value, bool]] = self.command["arguments"]
        if self._arguments < len(arguments):
            return arguments[self._arguments][0]
        return arguments[-1][0] if arguments and arguments[-1][1] else None

    @property
    def subcommand(self) -> bool:
        """Whether a subcommand may be at the cursor."""
        return bool(self.command["commands"]) and not self._arguments and not self._only_arguments

    def choices(self) -> Iterator[tuple[str, str]]:
        """The subcommands and options that may be at the cursor, each with its help."""
        dashed = self._option(self.word)
        if self.subcommand and not dashed:
            for name in self.command["commands"]:
                yield name, self._commands[f"{self.path} {name}".strip()]["help"]
        elif not self._only_arguments:
            for spelling, (name, _, repeatable, text) in self.command["options"].items():
                if repeatable or name not in self.used:
                    yield spelling, text

    def consume(self, word: str) -> None:
        """Process a complete word before the cursor."""
        if self._open is not None:
            self._take(self._known(self._open)[0], word)
            self._open = None
        elif self._only_arguments or not self._option(word):
            self._argument(word)
        elif word == "--":
            self._only_arguments = True
        else:
            name, value = self._split(word)
            if value is not None:
                self._take(self._known(name)[0], value)
            elif self._kind(name) is not None:
                self._open = name
            self.used.add(self._known(name)[0])

    def complete(self, word: str) -> None:
        """Process the incomplete word at the cursor."""
        self.word = word
        if self._open is None and not self._only_arguments and self._option(word):
            name, value = self._split(word)
            if value is not None and self._kind(name) is not None:
                self._open = name
                self.head, self.word = word[: len(word) - len(value)], value

    def _argument(self, word: str) -> None:
        if self.subcommand and word in self.command["commands"]:
            self.path = f"{self.path} {word}".strip()
            self.used = set()
        else:
            self._arguments += 1

    def _take(self, name: str, value: str) -> None:
        if not self.path:
            self.global_options[name] = value

    def _kind(self, name: str) -> Value:
        return self._known(name)[1]

    def _known(self, spelling: str) -> tuple[str, Value, bool, str]:
        """The name of an option, the kind of its value, whether it can be repeated, and its help."""
        found: tuple[str, Value, bool, str] = self.command["options"].get(spelling, _UNKNOWN)
        return found

    def _split(self, word: str) -> tuple[str, str | None]:
        """Split ``--site=x`` or ``-ojson`` into the option and its value, None if it has none."""
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            return name, value if equals else None
        if len(word) > 2 and self._kind(word[:2]) is not None:
            return word[:2], word[2:]
        return word, None

    @staticmethod
    def _option(word: str) -> bool:
        return word.startswith("-")


def read(words: Sequence[str], commands: Commands) -> Cursor:
    """The cursor at the last of ``words``, the words after the program name."""
    cursor = Cursor(commands)
    for word in words[:-1]:
        cursor.consume(word)
    cursor.complete(words[-1])
    return cursor
