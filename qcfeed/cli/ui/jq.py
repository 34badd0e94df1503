"""``--jq``: what a jq expression makes of an answer's JSON (docs/adr/0037)."""

from __future__ import annotations

import json
from collections.abc import Iterator

from qcfeed.errors import UsageError


def results(expression: str, raw: bytes) -> Iterator[str]:
    """Each result on a line: text as it is, like ``jq -r``, and all else as JSON.

    Raises UsageError if the expression is invalid, or fails on this JSON.
    """
    import jq  # imported here: a C library that takes 10 ms to load, for this option only

    try:
        for result in jq.compile(expression).input_text(raw.decode()):
            yield result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
    except ValueError as error:
        raise UsageError(
            f"--jq {expression!r}: {' '.join(str(error).split())}",
            hint="-o json prints what it works on; `man jq` has the language",
        ) from error
