"""Sets one key of the configuration file, and leaves its comments and order as they are."""

from __future__ import annotations

import re
import tomllib

from qcfeed.config.option import toml
from qcfeed.errors import ConfigError


def with_value(text: str, key: str, value: object) -> str:
    """``text`` with ``key = value``: in place of the key or of its commented line, else before the tables.

    Raises ConfigError if the text is not valid TOML, before or after.
    """
    _check(text)
    line = f"{key} = {toml(value)}"
    tables = re.search(r"^\s*\[", text, re.MULTILINE)
    end = tables.start() if tables else len(text)
    head, rest = text[:end], text[end:]
    for pattern in (rf"^{key}[ \t]*=.*$", rf"^#[ \t]*{key}[ \t]*=.*$"):
        changed, number = re.subn(pattern, lambda _: line, head, count=1, flags=re.MULTILINE)
        if number:
            break
    else:
        changed = f"{head.rstrip()}\n{line}\n\n".lstrip() if rest else f"{head}{line}\n"
    _check(changed + rest)
    return changed + rest


def without(text: str, key: str) -> str:
    """``text`` without ``key`` before the tables; as it is if it has no such key. Raises as ``with_value``."""
    _check(text)
    tables = re.search(r"^\s*\[", text, re.MULTILINE)
    end = tables.start() if tables else len(text)
    head = re.sub(rf"^{key}[ \t]*=.*\n?", "", text[:end], count=1, flags=re.MULTILINE)
    _check(head + text[end:])
    return head + text[end:]


def _check(text: str) -> None:
    try:
        tomllib.loads(text)
    except ValueError as error:
        raise ConfigError(
            f"the configuration file is not valid TOML: {error}",
            hint="mend it in an editor; `qcfeed config check` says where",
        ) from error
