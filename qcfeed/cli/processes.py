"""The audit log of ``attach`` and ``detach``, which act without a control plane."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from qcfeed.control import paths, peers
from qcfeed.control.audit import AuditLog, Caller


@contextlib.contextmanager
def audited(word: str, instance: str, request: dict[str, Any]) -> Iterator[Callable[[Any], None]]:
    """Record an action in the instance's audit log: its intent before the block, its outcome after.

    The block calls the function that it gets with what was done. Raises StartError or NotAllowedError if
    the intent cannot be recorded; then nothing may be done.
    """
    me = peers.me()
    log = AuditLog(paths.audit_path(instance))
    log.check()
    entry = log.intend(word, Caller("command", me.uid, me.user, me.pid), request)
    done: list[Any] = []
    try:
        yield done.append
    except BaseException as error:
        log.conclude(entry, "failed", error=str(error))
        raise
    log.conclude(entry, "done", answer=done[0] if done else None)
