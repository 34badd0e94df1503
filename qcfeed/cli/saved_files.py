"""Moments kept in files: ``--save`` writes one, ``--from`` asks it as if it were the service.

A file is JSON, one of the control plane's answers: a whole snapshot, or a single answer as ``-o json``
prints it, which can be shown again and no more. What ``report --bundle`` wrote (bundle.py) is asked too.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from qcfeed.cli.context import ask, say
from qcfeed.control.client import ANSWER_BYTES
from qcfeed.control.routes import (
    TASKS,
    TASKS_ENDED,
    TASKS_FAILURES,
    TASKS_FINDINGS,
    TASKS_SNAPSHOT,
)
from qcfeed.errors import NotFoundError, UsageError
from qcfeed.model.answers import Answer

AnyAnswer = TypeVar("AnyAnswer", bound=Answer)

From = Annotated[
    Path | None,
    typer.Option(
        "--from", metavar="FILE", help="Ask what --save or report --bundle wrote, and no service."
    ),
]
Save = Annotated[
    Path | None,
    typer.Option("--save", metavar="FILE", help="Keep all of this moment, for --from, anywhere."),
]


ENDED = 2_000
"""Tasks that are gone, the latest, that --save keeps."""


class _Head(msgspec.Struct):
    schema: str = ""


def ask_or_read(
    ctx: typer.Context,
    path: str,
    kind: type[AnyAnswer],
    *,
    source: Path | None,
    target: Path | None = None,
    **params: Any,
) -> tuple[AnyAnswer, bytes]:
    """A read's answer and its JSON: from the file ``source``, if one is given, else the service's.

    The moment is kept in ``target``, if one is given. Raises what ``ask``, ``read`` and ``keep`` do.
    """
    if source is not None:
        if target is not None:
            raise UsageError("--save asks a service and --from a file: give one of them")
        return read(source, path, kind, **params)
    answered = ask(ctx, path, kind, **params)
    if target is not None:
        keep(ctx, target)
    return answered


def keep(ctx: typer.Context, target: Path) -> None:
    """Write all that the service tells of this moment to a file. Raises what ``write`` does."""
    from qcfeed.model.ended_tasks import TaskFailures, TasksEnded
    from qcfeed.model.findings import Findings
    from qcfeed.model.saved_tasks import Snapshot

    snapshot, _ = ask(ctx, TASKS_SNAPSHOT, Snapshot)
    with contextlib.suppress(NotFoundError):  # not everybody with a ledger looks for findings
        snapshot.findings_answer, _ = ask(ctx, TASKS_FINDINGS, Findings)
    snapshot.ended_answer, _ = ask(ctx, TASKS_ENDED, TasksEnded, limit=ENDED)
    snapshot.failures_answer, _ = ask(ctx, TASKS_FAILURES, TaskFailures)
    write(target, msgspec.json.encode(snapshot) + b"\n")
    say(f"saved in {target}{_of(len(snapshot.tasks), snapshot.dropped_tasks)}")


def read(path: Path, route: str, kind: type[AnyAnswer], **params: Any) -> tuple[AnyAnswer, bytes]:
    """What a file answers to a request, and that as JSON. It says of which moment on stderr.

    Raises UsageError when the file is none of ours, or cannot tell; NotFoundError as Saved does.
    """
    wanted = str(kind.__struct_config__.tag)
    from qcfeed.cli import bundle  # archives: for those who have one

    if bundle.is_bundle(path):
        return _ask_bundle(path, route, kind, wanted, params)
    raw = _bytes(path)
    schema = _schema(path, raw)
    if schema.startswith(_SNAPSHOT):
        return _ask_snapshot(path, raw, schema, route, kind, params)
    if schema != wanted:
        raise UsageError(f"{path} {_other(schema, wanted)}", hint=_HINT)
    if further := sorted(params.keys() - _HARMLESS):
        raise UsageError(
            f"{path} is one answer and cannot be asked further ({', '.join(further)})", hint=_HINT
        )
    return _decoded(path, raw, schema, kind), raw.rstrip(b"\n")


def _ask_bundle(
    path: Path, route: str, kind: type[AnyAnswer], wanted: str, params: dict[str, Any]
) -> tuple[AnyAnswer, bytes]:
    """Of tasks by the snapshot in it, which can be asked; else the answer that was given then."""
    from qcfeed.cli import bundle  # archives: for those who have one

    opened = bundle.unpack(path)
    snapshot = opened.answer(_SNAPSHOT)
    of_tasks = route.startswith(TASKS) and route not in _BESIDE
    if snapshot is not None and of_tasks:
        return _ask_snapshot(path, snapshot, _schema(path, snapshot), route, kind, params)
    raw = opened.answer(wanted)
    if raw is None:
        raise NotFoundError(f"{path} holds no {wanted}: the service did not answer that request")
    if (found := _schema(path, raw)) != wanted:
        raise UsageError(f"{path} {_other(found, wanted)}", hint=_HINT)
    return _decoded(path, raw, wanted, kind), raw


def _ask_snapshot(
    path: Path, raw: bytes, schema: str, route: str, kind: type[AnyAnswer], params: dict[str, Any]
) -> tuple[AnyAnswer, bytes]:
    # Not for those who ask a service: it takes its time to import.
    from qcfeed.control.saved import Saved
    from qcfeed.model.saved_tasks import Snapshot

    wanted = str(Snapshot.__struct_config__.tag)
    if schema != wanted:
        raise UsageError(f"{path} {_other(schema, wanted)}")
    snapshot = _decoded(path, raw, schema, Snapshot)
    say(
        f"from {path}: {snapshot.instance} (pid {snapshot.pid}) at {snapshot.taken_at}"
        f"{_of(len(snapshot.tasks), snapshot.dropped_tasks)}"
    )
    answer = Saved(snapshot).answer(route, **params)
    encoded = msgspec.json.encode(answer)
    return msgspec.json.decode(encoded, type=kind), encoded


def _of(kept: int, dropped: int) -> str:
    """How many tasks are there one by one, unless they all are."""
    if not dropped:
        return ""
    return (
        f"\n  {kept:,} of {kept + dropped:,} tasks were saved one by one, of each location the"
        " oldest;\n  filters, labels and the tree are about those"
    )


def _decoded(path: Path, raw: bytes, schema: str, kind: type[AnyAnswer]) -> AnyAnswer:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.MsgspecError as error:
        raise UsageError(f"{path} says {schema} and is not: {error}") from error


def write(path: Path, raw: bytes) -> None:
    """All of it or nothing, for its owner alone: written beside ``path``, then put in its place.

    Raises UsageError when it cannot be written there.
    """
    import tempfile  # not for those who only look: it takes its time

    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error


def schema_of(path: Path) -> str:
    """What kind of answer a file holds, and of a bundle that it is one. Raises UsageError when it
    holds none."""
    from qcfeed.cli import bundle  # archives: for those who have one

    if bundle.is_bundle(path):
        return str(bundle.Manifest.__struct_config__.tag)
    return _schema(path, _bytes(path))


_BESIDE = (TASKS_FINDINGS, TASKS_ENDED, TASKS_FAILURES)
"""Answers that a bundle has beside the snapshot; a file of its own has them in it."""
_SNAPSHOT = "qcfeed.tasks.snapshot/"
_HINT = "`qcfeed tasks --save FILE` writes what every `tasks` command reads"
_HARMLESS = {"limit", "key"}
"""What may be asked of a single answer: it is cut by the limit all the same, and has one key."""


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(ANSWER_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(raw) > ANSWER_BYTES:
        raise UsageError(f"{path} is longer than any answer of qcfeed")
    return raw


def _schema(path: Path, raw: bytes) -> str:
    try:
        schema = msgspec.json.decode(raw, type=_Head).schema
    except msgspec.MsgspecError as error:
        raise UsageError(
            f"{path} is no answer of qcfeed, or not all of one: {error}",
            hint=_HINT,
        ) from error
    if not schema.startswith("qcfeed."):
        raise UsageError(f"{path} is JSON, but no answer of qcfeed")
    return schema


def _other(schema: str, wanted: str) -> str:
    if schema.rpartition("/")[0] == wanted.rpartition("/")[0]:
        return f"was written by another version of qcfeed: it is {schema}, this one reads {wanted}"
    return f"holds {schema}; {wanted} is needed here"
