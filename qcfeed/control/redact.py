"""Removes secrets from text that leaves the process, by their form and by their values.

Secrets have known names (passwords, tokens, keys), and known places in a URL (RFC 3986, 3.2.1: the
password in the user information; query parameters). The values of environment variables and files with
such names are removed wherever they occur.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

GONE = "[redacted]"
SHORTEST = 6
"""The shortest value, in characters, that is searched for in other text; shorter ones occur in words."""

_NAMES = (
    r"(?:pass(?:word|wd|phrase)|secret|token|api[_-]?key|credentials?|private[_-]?key|signature"
    r"|(?<![A-Za-z])auth|(?<![A-Za-z])pass)(?![A-Za-z])"
)
_SECRET_NAME = re.compile(_NAMES, re.IGNORECASE)
_ELSEWHERE = re.compile(r"(?:_|-)(?:file|path)$", re.IGNORECASE)
"""Names that say where a secret is, not what it is."""

_WRITTEN = (
    # API keys of subscribers (access/keys.py) and JSON Web Tokens, wherever they occur.
    (re.compile(r"\bqcf_[\w-]{20,}"), GONE),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), GONE),
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
    "qcf_",
    "eyj",
)
"""Every match of the patterns contains one of these; searching for them is much cheaper."""


@lru_cache(1024)
def is_secret(name: str) -> bool:
    """Whether an option or a variable of this name holds a secret."""
    return bool(_SECRET_NAME.search(name)) and not _ELSEWHERE.search(name)


def values(environment: Mapping[str, str], further: Iterable[str] = ()) -> list[str]:
    """The secrets in an environment, by the names of its variables, and ``further`` ones.

    Longest first, so that a secret that contains another is removed completely.
    """
    named = [value for name, value in environment.items() if is_secret(name)]
    long = {value for value in (*named, *further) if len(value) >= SHORTEST}
    return sorted(long, key=len, reverse=True)


def redact(text: str, known: Iterable[str] = ()) -> str:
    """``text`` without anything that has the form of a secret, and without the values in ``known``.

    Redacting twice has the same result as once. Cost: 1 us for a short text without a word for secrets, else
    10 us per 100 characters.
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
    """Apply ``redact`` to every text in an answer's JSON except its ``schema``.

    The whole value of a field with the name of a secret is removed. Cost: 50 us per kilobyte.
    """
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
