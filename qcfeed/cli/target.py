"""What a command is about: a service, as it was named, or a saved file. Suggested commands repeat it.

There is one target per command line. ``main.py`` sets it from the global options, ``saved_files.py``
from ``--from``; every message that suggests a command passes ``in_text`` or ``addressed``.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple

from qcfeed.formats import age

PROGRAM = "qcfeed"

_LOCAL = frozenset(
    ("serve", "attach", "detach", "runbook", "artifacts", "completion", "config", "explain")
)
"""Commands that ask no service, so that naming one means nothing to them."""
_NAMING = frozenset(("--context", "-c", "--instance", "-i", "--socket", "--url"))
_ALL = "--cluster"
_WITH_VALUE = _NAMING | {"--config", "--timeout"}
"""Global options that a value follows."""
READERS = frozenset(
    ("status", "diagnose", "orphans", "feeds", "subscribers", "stacks", "growth", "tasks",
     "memory", "logs", "audit", "alerts", "top")
)  # fmt: skip
"""Commands that take --from."""
_LIVE = re.compile(
    r"--reap|--window|--watch|--pid|--trace|^(feeds|tasks) (cancel|diff|verify)\b|^subscribers kick\b"
)
"""What of READERS a file cannot answer: actions, and measurements of a running service."""
_FENCE = "```"
_TYPED = re.compile(rf"^((?:\$ )?)({PROGRAM} .+)$", re.MULTILINE)
_SUGGESTED = re.compile(rf"`({PROGRAM} [^`]+)`")


_ACTING = re.compile(r"\b(orphans) --reap\b.*|\b(feeds|subscribers|tasks) (?:cancel|kick)\b.*")
_AGO = re.compile(r"(\d\w*|\d [a-z]+) ago\b")


class CommandTarget(NamedTuple):
    """``words``: the options that name the service, as typed; ``config``: the one that names the file.

    ``source``: the saved file that is read instead; ``readers``: the commands that it can answer.
    ``quiet``: no messages, only results and errors. ``announced``: whether it was said which service the
    configuration file names.
    """

    words: tuple[str, ...] = ()
    config: tuple[str, ...] = ()
    source: Path | None = None
    readers: frozenset[str] = frozenset()
    quiet: bool = False
    announced: bool = False


NONE = CommandTarget()
"""The target of a command line that names none: whichever service runs here."""
_current: ContextVar[CommandTarget | None] = ContextVar("qcfeed_target", default=None)
"""None outside a command line: nothing is kept there, so that no target outlives what named it."""


def current() -> CommandTarget:
    """The target of this command line."""
    return _current.get() or NONE


def _become(changed: CommandTarget) -> None:
    if _current.get() is not None:
        _current.set(changed)


def name_service(
    given: Iterable[tuple[str, object]], config: object = None, *, quiet: bool = False
) -> None:
    """Begin a command line; ``given``: the options that name its service, with their values."""
    words = tuple(text for flag, value in given for text in (flag, shlex.quote(str(value))))
    named = ("--config", shlex.quote(str(config))) if config else ()
    _become(CommandTarget(words, named, quiet=quiet))


def announce() -> None:
    """Note that it was said which service the configuration file names; once per command line."""
    _become(current()._replace(announced=True))


@contextlib.contextmanager
def command_line() -> Iterator[None]:
    """One command line: the target that it names ends with it."""
    token = _current.set(NONE)
    try:
        yield
    finally:
        _current.reset(token)


def read_from(source: Path, readers: Iterable[str]) -> None:
    """From now on the target is this file, which can answer these commands."""
    _become(current()._replace(source=source, readers=frozenset(readers)))


def program() -> str:
    """The program with the options that name the service: ``qcfeed --context prod``."""
    target = current()
    return " ".join((PROGRAM, *target.config, *target.words))


def addressed(command: str) -> str | None:
    """``command`` for the current target; None if it needs a running service and a file is read.

    A command that names a service already, or needs none, is returned as it is.
    """
    target = current()
    options, words = _parted(command)
    if not words or not words[0].isalpha() or words[0].isupper() or "--help" in words:
        return command
    if words[0] in _LOCAL:
        config = () if words[0] != "config" or "--config" in options else target.config
        return " ".join((PROGRAM, *config, *options, *words))
    if "--from" in words:
        return command
    if target.source is not None:
        return _on_file(target.source, words) if _reads(target.readers, words) else None
    if _NAMING & set(options):
        return command
    config = () if "--config" in options else target.config
    named = () if _ALL in options else target.words  # all instances, not the one that is named
    return " ".join((PROGRAM, *config, *named, *options, *words))


def addressable(commands: Iterable[str]) -> list[str]:
    """The commands for the current target. Of a file, an action becomes the list that it would act on."""
    if current().source is not None:
        commands = [_ACTING.sub(r"\1\2", each) for each in commands]
    return list(dict.fromkeys(each for each in map(addressed, commands) if each is not None))


def in_text(text: str) -> str | None:
    """``text`` with every suggested command (in backquotes) for the current target; None as ``addressed``."""
    found = {command: addressed(command) for command in _SUGGESTED.findall(text)}
    if None in found.values():
        return None
    return _SUGGESTED.sub(lambda match: f"`{found[match[1]]}`", text)


def in_page(text: str) -> str:
    """A page of Markdown with every command, in the text and in code blocks, for the service that is named."""

    def line(found: re.Match[str]) -> str:
        return f"{found[1]}{addressed(found[2]) or found[2]}"

    parts = (in_text(text) or text).split(_FENCE)
    parts[1::2] = [_TYPED.sub(line, block) for block in parts[1::2]]
    return _FENCE.join(parts)


def of_instance(text: str, name: str) -> str:
    """``text`` with every suggested command for this instance, unless it is for all or asks no service."""

    def named(found: re.Match[str]) -> str:
        options, words = _parted(found[1])
        if _ALL in options or not words or words[0] in _LOCAL or _NAMING & set(options):
            return found[0]
        return (
            f"`{PROGRAM} --instance {shlex.quote(name)} {found[1].removeprefix(PROGRAM).strip()}`"
        )

    return _SUGGESTED.sub(named, text)


def moment(seconds: float, taken_at: str) -> str:
    """When something was that happened ``seconds`` before an answer: ``5m ago``, or of a file, its time."""
    if current().source is None:
        return f"{age(seconds)} ago"
    from datetime import datetime, timedelta  # imported here: only for files

    at = datetime.fromisoformat(taken_at) - timedelta(seconds=seconds)
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def retold(text: str) -> str:
    """``text`` of an answer; of a file, what was ``5 s ago`` then is ``5 s before``."""
    return text if current().source is None else _AGO.sub(r"\1 before", text)


def _parted(command: str) -> tuple[list[str], list[str]]:
    """The global options of a command, and the words from its name on."""
    options: list[str] = []
    words = command.split(" ")[1:]
    while words and words[0].startswith("-"):
        taken = 2 if words[0] in _WITH_VALUE else 1
        options, words = options + words[:taken], words[taken:]
    return options, words


def _reads(readers: frozenset[str], words: list[str]) -> bool:
    return words[0] in readers and not _LIVE.search(" ".join(words))


def _on_file(source: Path, words: list[str]) -> str:
    """The command with ``--from``, in front of a comment or pipe."""
    end = next((n for n, word in enumerate(words) if word in ("#", "|", ">")), len(words))
    while end and not words[end - 1]:
        end -= 1
    return " ".join((PROGRAM, *words[:end], "--from", shlex.quote(str(source)), *words[end:]))
