"""The audit log: who did what to this service, when, and with which result.

JSON lines, two per action with the same ``id``: ``intent`` before anything is done, ``outcome`` after. An
action whose intent cannot be written is refused, so nothing is done unrecorded. An intent without an
outcome means that the process ended in between. Each line is one write to a file that is opened with
``O_APPEND`` for it, so the log may be rotated at any time.
"""

from __future__ import annotations

import contextvars
import logging
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from qcfeed import rfc3339
from qcfeed.errors import NotAllowedError, StartError
from qcfeed.formats import printable_json
from qcfeed.net.descriptors import Reserve

logger = logging.getLogger(__name__)

LISTED = 1000
"""How many items of a list are kept in a line; the others are counted."""

_notes: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar(
    "qcfeed_audit_notes", default=None
)


class Caller(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who requested an action: a local process over the Unix socket, a holder of the token over TCP, or the
    service itself, which ends a drill when its time is over.

    ``program``: what the caller says it is, for example ``qcfeed-mcp/3f2a9c01``; None for a command.
    """

    via: str
    uid: int | None = None
    user: str | None = None
    pid: int | None = None
    program: str | None = None


@dataclass(frozen=True, slots=True)
class AuditedAction:
    """An action whose intent has been written."""

    id: str
    word: str
    caller: Caller
    request: Any
    notes: dict[str, Any]


def note(**values: Any) -> None:
    """Add ``before=`` and ``after=`` to the audit line of the current action; for its handler.

    Does nothing outside an action. Without ``after``, the answer itself is recorded.
    """
    notes = _notes.get()
    if notes is not None:
        notes.update(values)


def collect_notes(notes: dict[str, Any]) -> None:
    """Make ``note`` write to ``notes`` in this context from now on."""
    _notes.set(notes)


class AuditLog:
    """Appends to ``path``, created with mode 0600. From any thread; each call is one small write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reserve = Reserve(0)
        """Descriptors to give up when the file must be opened and none are left."""

    def check(self) -> None:
        """Check that the log can be written. Raises StartError if not, before anything relies on it."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._append(b"")
        except OSError as error:
            raise StartError(
                f"cannot write the audit log {self.path}: {error.strerror}",
                hint="give --audit-log a file that can be written",
            ) from error

    def intend(self, word: str, caller: Caller, request: Any) -> AuditedAction:
        """Record that an action is about to happen. Raises NotAllowedError if the record cannot be written."""
        entry = AuditedAction(secrets.token_hex(8), word, caller, request, {})
        try:
            self._write(entry, "intent", {"request": request})
        except OSError as error:
            raise NotAllowedError(
                f"{word} was refused: the audit log {self.path} cannot be written"
                f" ({error.strerror})",
                hint="nothing was done; make room or mend the file, then try again",
            ) from error
        return entry

    def conclude(
        self, entry: AuditedAction, outcome: str, *, answer: Any = None, error: str = ""
    ) -> None:
        """Record the outcome: ``done``, ``failed``, ``timed_out``, ``cancelled``, ``not_begun`` or ``unknown``.

        The action has happened and cannot be undone, so a failing write is reported in the process's log.
        """
        detail: dict[str, Any] = {"outcome": outcome} | entry.notes
        if answer is not None:
            detail.setdefault("after", answer)
        if error:
            detail["error"] = error
        try:
            self._write(entry, "outcome", detail)
        except OSError:
            logger.exception("outcome of %s (%s) is %s", entry.word, entry.id, outcome)

    def _write(self, entry: AuditedAction, event: str, detail: dict[str, Any]) -> None:
        line = {
            "at": rfc3339.now(),
            "id": entry.id,
            "event": event,
            "action": entry.word,
            "who": entry.caller,
            **detail,
        }
        raw = msgspec.json.encode(_shortened(msgspec.to_builtins(line)))
        self._append(printable_json(raw).encode() + b"\n")

    def _append(self, line: bytes) -> None:
        # O_NONBLOCK, because opening a FIFO would wait for its reader.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = self.reserve.attempt(lambda: os.open(self.path, flags, 0o600))
        try:
            # One write: the lines of several threads and processes do not mix.
            if os.write(descriptor, line) != len(line):
                raise OSError(None, "the disk took only a part of the line")
        finally:
            os.close(descriptor)


def _shortened(value: Any) -> Any:
    """``value`` without what is absent, and with lists of at most ``LISTED`` items."""
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        kept = [_shortened(item) for item in value[:LISTED]]
        return kept if len(value) <= LISTED else [*kept, f"and {len(value) - LISTED} more"]
    return value
