"""Takes secrets out of text that leaves the process: by how they are written, and by their values.

What a secret is called is known (passwords, tokens, keys), and so is how a URL carries one (RFC 3986,
3.2.1: the password of its user information; a parameter of its query). What an environment variable
or a file of that name holds is taken out wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

GONE = "[redacted]"
SHORTEST = 6
"""Characters of a value that is looked for in other text; a shorter one would hit words."""

_NAMES = (
    r"(?:pass(?:word|wd|phrase)|secret|token|api[_-]?key|credentials?|private[_-]?key|signature"
    r"|(?<![A-Za-z])auth|(?<![A-Za-z])pass)(?![A-Za-z])"
)
_SECRET_NAME = re.compile(_NAMES, re.IGNORECASE)
_ELSEWHERE = re.compile(r"(?:_|-)(?:file|path)$", re.IGNORECASE)
"""A name that says where the secret is, and not what."""

_WRITTEN = (
    (re.compile(r"(?<=://)[^/\s\"'@\\]+(?=@)"), GONE),
    (re.compile(r"\b(Bearer|Basic)(\s+)[\w.~+/=-]{6,}", re.IGNORECASE), rf"\1\2{GONE}"),
    (
        re.compile(
            rf"(?P<name>[\w.-]*{_NAMES}[\w-]*)(?P<to>\\?[\"']?\s*[=:]\s*\\?[\"']?)"
            r"(?!\[redacted\]|None\b|null\b|[\s\"'])[^\s\"'&,;\\}\])]+",
            re.IGNORECASE,
        ),
        rf"\g<name>\g<to>{GONE}",
    ),
)


_HINTS = (
    "://",
    "pass",
    "secret",
    "token",
    "key",
    "credential",
    "signature",
    "auth",
    "bearer",
    "basic",
)
"""One of these is in all that the patterns find; to look for them is far cheaper."""


@lru_cache(1024)
def is_secret(name: str) -> bool:
    """Whether an option or a variable of this name holds a secret."""
    return bool(_SECRET_NAME.search(name)) and not _ELSEWHERE.search(name)


def values(environment: Mapping[str, str], further: Iterable[str] = ()) -> list[str]:
    """The secrets of an environment, by the names of its variables, and ``further`` ones; the
    longest first, so that one that holds another goes whole."""
    named = [value for name, value in environment.items() if is_secret(name)]
    long = {value for value in (*named, *further) if len(value) >= SHORTEST}
    return sorted(long, key=len, reverse=True)


def redact(text: str, known: Iterable[str] = ()) -> str:
    """``text`` without what is written as a secret, and without the values in ``known``.

    Redacting twice is redacting once. Cost: 1 us for a short text without a word of secrets, else
    10 us a hundred characters.
    """
    for value in known:
        text = text.replace(value, GONE)
    small = text.lower()
    if not any(word in small for word in _HINTS):
        return text
    for pattern, gone in _WRITTEN:
        text = pattern.sub(gone, text)
    return text


def answer(raw: bytes, known: Sequence[str] = ()) -> bytes:
    """As ``redact``, of every text in an answer's JSON but its ``schema``; what a field holds that is
    called a secret goes whole. Cost: 50 us a kilobyte."""
    told = msgspec.json.decode(raw)
    schema = told.get("schema") if isinstance(told, dict) else None
    clean = _clean(told, known)
    return msgspec.json.encode(clean if schema is None else clean | {"schema": schema})


def _clean(value: Any, known: Sequence[str]) -> Any:
    if isinstance(value, str):
        return redact(value, known)
    if isinstance(value, list):
        return [_clean(each, known) for each in value]
    if isinstance(value, dict):
        return {
            name: GONE if isinstance(each, str) and is_secret(name) else _clean(each, known)
            for name, each in value.items()
        }
    return value
