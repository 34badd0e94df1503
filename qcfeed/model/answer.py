"""The fields of all answers of the control plane. Each answer is versioned by its ``schema``.

Durations end in ``_s`` or ``_ms``, sizes in ``_bytes``; times are RFC 3339 strings in UTC. Within one
version of a schema fields are only added. Commands print these answers with ``-o json`` unchanged.
"""

from __future__ import annotations

import msgspec


class Answer(msgspec.Struct, kw_only=True, tag_field="schema"):
    """The fields of every answer: which process answered, when, and what the answer cost.

    ``elapsed_ms``: how long the server took. ``loop_stall_ms``: the longest time during that for which the
    watched loop did not run; if it is stuck now, for how long it has been. ``loop_stack``: only while the
    loop is stuck, the calls that it is in, innermost last. The server fills in all of these.
    """

    pid: int = 0
    instance: str = ""
    taken_at: str = ""
    elapsed_ms: float = 0.0
    loop_stall_ms: float = 0.0
    loop_stack: list[str] | msgspec.UnsetType = msgspec.UNSET


class ErrorAnswer(msgspec.Struct, kw_only=True, tag_field="schema", tag="qcfeed.error/2"):
    """A request was not carried out; or a command failed, which prints this with ``-o json``.

    ``code``: the kind of error, stable. ``hint``: what to type or change next. ``loop_stack``: where the watched
    loop is stuck, if it is. Of a command also its ``exit_status``, and ``traceback`` if it is a bug.
    """

    code: str
    message: str
    hint: str | None = None
    loop_stack: list[str] = []
    exit_status: int | msgspec.UnsetType = msgspec.UNSET
    traceback: str | msgspec.UnsetType = msgspec.UNSET


class AnswerSchema(msgspec.Struct):
    """Reads an answer's schema and nothing else; empty if the JSON has none."""

    schema: str = ""
