"""Labels: key-value pairs with which a program describes its tasks, such as ``symbol=AAPL``.

Tasks inherit the labels of the code that spawns them, so snapshots can be grouped by symbol, client
or request without a change to the tasks.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from qcfeed.diagnostics.task_context import Labels, TaskContext, current_context

MAX_LABELS = 16
"""Labels per task; further ones are left out and counted in the label DROPPED."""
MAX_LENGTH = 100
"""Characters of a key or a value; longer ones are cut and end in an ellipsis."""
DROPPED = "labels_dropped"
"""The label that says how many labels were left out."""

_KEPT = 4_096
"""Label sets that are cached. Contexts with equal labels share one mapping: there may be a context for
every subscription."""


@contextlib.contextmanager
def label(**labels: object) -> Iterator[None]:
    """Label all tasks that are spawned inside the block, and those that they spawn.

    Labels of nested blocks are merged; the inner one wins where both have the same key, and ``None``
    removes a label::

        with label(client=client.name, symbol="AAPL"):
            task = asyncio.create_task(serve(client))

    Values are converted with ``str()`` once, here; a value that cannot be converted becomes ``?``.
    Lengths and number are limited (MAX_LENGTH, MAX_LABELS). Raises nothing of its own.
    Cost: 3 us to enter; nothing per task.

    Callbacks run in the context in which they were created: see ``owned_by``.
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
    except Exception:  # noqa: BLE001 - the program must not fail because of a label
        return "?"


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 1] + "\N{HORIZONTAL ELLIPSIS}"
