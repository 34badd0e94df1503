"""Labels: what a task is about, in the program's own words. Tasks inherit them from where they are
spawned, so a snapshot can be grouped by symbol, client or request without touching the tasks.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from qcfeed.diagnostics.task_context import Labels, TaskContext, current_context

MAX_LABELS = 16
"""Labels that a task can have; those that come on top are left out, and counted under DROPPED."""
MAX_LENGTH = 100
"""Characters of a key or a value; what is longer is cut, and ends in an ellipsis."""
DROPPED = "labels_dropped"

_KEPT = 4_096
"""Label sets that are kept for sharing, so that a context a subscription costs no mapping each."""


@contextlib.contextmanager
def label(**labels: object) -> Iterator[None]:
    """Tasks spawned inside carry ``labels``, and so do those that they spawn.

    Labels add up: an inner one is merged with the outer ones and wins where both say the same key;
    ``None`` takes a label away. Values are ``str``-ed once, here, and bounded (MAX_LENGTH,
    MAX_LABELS); one that cannot be is ``?``. Cost: 3 us to enter, nothing a task.

    The trap of ``owned_by`` is here too: callbacks inherit the context that they were made in.
    """
    context = current_context.get()
    token = current_context.set(TaskContext(context.owner, _merged(context.labels, labels)))
    try:
        yield
    finally:
        current_context.reset(token)


def _merged(outer: Labels, given: Mapping[str, object]) -> Labels:
    merged = dict(outer)
    dropped = int(merged.pop(DROPPED, 0))
    for key, value in given.items():
        key = _bounded(key)
        if value is None:
            merged.pop(key, None)
        elif key != DROPPED and (key in merged or len(merged) < MAX_LABELS):
            merged[key] = _text(value)
        else:
            dropped += 1
    if dropped:
        merged[DROPPED] = str(dropped)
    return _shared(tuple(merged.items()))


@functools.lru_cache(_KEPT)
def _shared(items: tuple[tuple[str, str], ...]) -> Labels:
    return MappingProxyType(dict(items))


def _text(value: object) -> str:
    try:
        return _bounded(str(value))
    except Exception:  # noqa: BLE001 - a label is no reason for the program to fail
        return "?"


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 1] + "\N{HORIZONTAL ELLIPSIS}"
