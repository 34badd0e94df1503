"""Saved snapshots: ``--save`` writes one to a file, ``--from`` reads it in place of a live service.

``--from`` reads three kinds of files: a snapshot, which can be filtered and grouped like a service; a
single answer as ``-o json`` prints it, which can only be shown again; a bundle (bundle.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from qcfeed import files
from qcfeed.cli import output_files, target
from qcfeed.cli.context import ask, say
from qcfeed.control.client import ANSWER_BYTES
from qcfeed.control.routes import (
    TASKS,
    TASKS_BY_OBJECT,
    TASKS_ENDED,
    TASKS_FAILURES,
    TASKS_FINDINGS,
    TASKS_SNAPSHOT,
)
from qcfeed.errors import NotFoundError, UsageError
from qcfeed.formats import printable_json
from qcfeed.model.answer import Answer, AnswerSchema
from qcfeed.model.json_errors import JSON_ERRORS

AnyAnswer = TypeVar("AnyAnswer", bound=Answer)

From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FILE",
        help="Read a saved file (--save, report --bundle) instead of a live service.",
    ),
]
Save = Annotated[
    Path | None,
    typer.Option("--save", metavar="FILE", help="Also save a full snapshot, to read with --from."),
]


ENDED_LIMIT = 2_000
"""The number of ended tasks that --save keeps, the latest."""


def ask_or_read(
    ctx: typer.Context,
    path: str,
    kind: type[AnyAnswer],
    *,
    source: Path | None,
    save: Path | None = None,
    **params: Any,
) -> tuple[AnyAnswer, bytes]:
    """The answer to a read request and its JSON: from the file ``source`` if given, else from the service.

    Also saves a snapshot to the file ``save``, if given. Raises what ``ask``, ``read`` and
    ``output_files.write`` do.
    """
    if source is not None:
        if save is not None:
            raise UsageError("--save needs a service and --from a file: give only one of them")
        return read(source, path, kind, **params)
    force = bool(ctx.params.get("force"))  # beside every --save: output_files.Force
    output_files.check(save, force=force)
    answered = ask(ctx, path, kind, **params)
    if save is not None:
        _save(ctx, save, force=force)
    return answered


def _save(ctx: typer.Context, path: Path, *, force: bool) -> None:
    """Write a snapshot with findings, awaited objects, ended tasks and failures to a file."""
    from qcfeed.model.ended_tasks import TaskFailures, TasksEnded
    from qcfeed.model.findings import Findings
    from qcfeed.model.saved_tasks import SavedSnapshot
    from qcfeed.model.task_objects import TasksByObject

    snapshot, _ = ask(ctx, TASKS_SNAPSHOT, SavedSnapshot)
    with contextlib.suppress(NotFoundError):  # a program without the sampler has no findings
        snapshot.findings_answer, _ = ask(ctx, TASKS_FINDINGS, Findings)
    snapshot.objects_answer, _ = ask(ctx, TASKS_BY_OBJECT, TasksByObject)
    snapshot.ended_answer, _ = ask(ctx, TASKS_ENDED, TasksEnded, limit=ENDED_LIMIT)
    snapshot.failures_answer, _ = ask(ctx, TASKS_FAILURES, TaskFailures)
    content = printable_json(msgspec.json.encode(snapshot)).encode() + b"\n"
    output_files.write(path, content, force=force)
    say(f"saved to {path}{_partial(len(snapshot.tasks), snapshot.dropped_tasks)}")


def read(path: Path, route: str, kind: type[AnyAnswer], **params: Any) -> tuple[AnyAnswer, bytes]:
    """The answer of a saved file to a request, and its JSON. Says on stderr as of when it is.

    From then on the file is the target of suggested commands. Raises UsageError if the file is not one of
    qcfeed's or cannot answer; NotFoundError as saved_tasks.answer does.
    """
    needed = str(kind.__struct_config__.tag)
    from qcfeed.observe import (
        bundle,
    )  # imported late: only for files, and archives are slow to import

    raw = _read_bytes(path)
    if bundle.is_bundle(raw):
        return _answer_of_bundle(path, raw, route, kind, needed, params)
    schema = _schema(path, raw)
    if schema.startswith(_SNAPSHOT) and route.startswith(TASKS):
        return _answer_of_snapshot(path, raw, schema, route, kind, params)
    if schema != needed:
        raise UsageError(
            f"{path} {_mismatch(schema, needed)}",
            hint=_HINT if route.startswith(TASKS) else _HINT_BUNDLE,
        )
    _refuse_others(path, "is a single answer", params)
    answer = _decoded(path, raw, schema, kind)
    _announce(path, answer, ())
    return answer, raw.rstrip(b"\n")


def _announce(path: Path, answer: Answer, readers: Iterable[str], note: str = "") -> None:
    """Say, once for each file, as of when it is and of which process."""
    if target.current().source != path:
        at = answer.taken_at.replace("T", " ").partition(".")[0].removesuffix("Z")
        of_service = f"{answer.instance} (pid {answer.pid})"
        who = of_service if answer.pid else getattr(answer, "source", of_service)
        say(f"as of {at or 'an unknown time'} UTC: {who}, read from {path}{note}")
    target.read_from(path, readers)


def _refuse_others(path: Path, what: str, params: dict[str, Any]) -> None:
    """Raise UsageError for parameters that change an answer, which is saved as it was."""
    given = {key for key, value in params.items() if value not in (None, "", False)}
    if unsupported := sorted(given - _SUPPORTED_PARAMS):
        raise UsageError(
            f"{path} {what}, to which {', '.join(unsupported)} cannot be applied", hint=_HINT
        )


def _answer_of_bundle(
    path: Path,
    content: bytes,
    route: str,
    kind: type[AnyAnswer],
    needed: str,
    params: dict[str, Any],
) -> tuple[AnyAnswer, bytes]:
    """Requests about tasks are answered from the snapshot in the bundle, others with the saved answer."""
    from qcfeed.cli import bundle_readers  # imported late: see read
    from qcfeed.observe import bundle

    opened = bundle.unpack(path, content)
    readers = bundle_readers.readers(opened)
    why = f"\n  saved by the service itself: {opened.manifest.why}" if opened.manifest.why else ""
    snapshot = opened.answer(_SNAPSHOT)
    about_tasks = route.startswith(TASKS) and route not in _SEPARATE_IN_BUNDLE
    if snapshot is not None and about_tasks:
        return _answer_of_snapshot(
            path, snapshot, _schema(path, snapshot), route, kind, params, readers, why
        )
    raw = opened.answer(needed)
    if raw is None:
        asked = "Prometheus was not asked, or" if route in bundle.OF_PROMETHEUS else "the service"
        raise NotFoundError(
            f"{path} does not contain {needed}: {asked} did not answer that request"
        )
    if (found := _schema(path, raw)) != needed:
        raise _other_version(path, found, needed)
    _refuse_others(path, "has one saved answer to this", params)
    answer = _decoded(path, raw, needed, kind)
    _announce(path, answer, readers, why)
    return answer, raw


def _other_version(path: Path, found: str, needed: str) -> UsageError:
    return UsageError(
        f"a part of {path} {_mismatch(found, needed)}",
        hint="read it with the qcfeed that wrote it; the other parts of the bundle can be read",
    )


def _answer_of_snapshot(
    path: Path,
    raw: bytes,
    schema: str,
    route: str,
    kind: type[AnyAnswer],
    params: dict[str, Any],
    readers: Iterable[str] = ("tasks",),
    note: str = "",
) -> tuple[AnyAnswer, bytes]:
    # Imported here because the import is slow and a live service does not need it.
    from qcfeed.control import saved_tasks
    from qcfeed.model.saved_tasks import SavedSnapshot

    needed = str(SavedSnapshot.__struct_config__.tag)
    if schema != needed:
        if len(frozenset(readers)) > 1:
            raise _other_version(path, schema, needed)
        raise UsageError(f"{path} {_mismatch(schema, needed)}")
    snapshot = _decoded(path, raw, schema, SavedSnapshot)
    partial = _partial(len(snapshot.tasks), snapshot.dropped_tasks)
    _announce(path, snapshot, readers, note + partial)
    answer = saved_tasks.answer(snapshot, route, **params)
    encoded = msgspec.json.encode(answer)
    return msgspec.json.decode(encoded, type=kind), encoded


def _partial(kept: int, dropped: int) -> str:
    """A note that not all tasks were saved one by one; empty if all were."""
    if not dropped:
        return ""
    return (
        f"\n  {kept:,} of {kept + dropped:,} tasks were saved one by one: the oldest of each"
        " location;\n  filters, labels and --tree cover only those"
    )


def _decoded(path: Path, raw: bytes, schema: str, kind: type[AnyAnswer]) -> AnyAnswer:
    try:
        return msgspec.json.decode(raw, type=kind)
    except JSON_ERRORS as error:
        raise UsageError(f"{path} claims to be {schema} but is not: {error}") from error


def first_answer(path: Path, route: str) -> bytes | None:
    """The JSON of the first of two answers to a request that a bundle has; None if it has only one."""
    from qcfeed.observe import bundle  # imported late: see read

    members = bundle.unpack(path, _read_bytes(path)).members
    return members.get(f"{bundle.stem(route)}.first.json")


def schema_of(path: Path) -> str:
    """The schema of a saved file; the manifest's for a bundle. Raises UsageError if it has none."""
    from qcfeed.observe import bundle  # imported late: see read

    raw = _read_bytes(path)
    if bundle.is_bundle(raw):
        return str(bundle.Manifest.__struct_config__.tag)
    return _schema(path, raw)


_SEPARATE_IN_BUNDLE = (TASKS_BY_OBJECT, TASKS_FINDINGS, TASKS_ENDED, TASKS_FAILURES)
"""Answers that a bundle has as separate files; a snapshot file contains them."""
_SNAPSHOT = "qcfeed.tasks.snapshot/"
_HINT = "`qcfeed tasks --save FILE` writes a file that every `tasks` command can read"
_HINT_BUNDLE = "`qcfeed report --bundle FILE` writes a file that has this answer"
_HINT_ANY = (
    "`qcfeed report --bundle FILE` writes a file that all of these commands can read,"
    " `qcfeed tasks --save FILE` one for `tasks`"
)
_SUPPORTED_PARAMS = {"limit", "key"}
"""Parameters allowed with a single answer: the caller applies the limit, and the key is its own."""


def _read_bytes(path: Path) -> bytes:
    try:
        return files.read(path, ANSWER_BYTES)[0]
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error


def _schema(path: Path, raw: bytes) -> str:
    try:
        schema = msgspec.json.decode(raw, type=AnswerSchema).schema
    except JSON_ERRORS as error:
        raise UsageError(
            f"{path} is not an answer of qcfeed, or is truncated: {error}",
            hint=_HINT_ANY,
        ) from error
    if not schema.startswith("qcfeed."):
        raise UsageError(f"{path} is JSON, but not an answer of qcfeed", hint=_HINT_ANY)
    return schema


def _mismatch(schema: str, needed: str) -> str:
    if schema.rpartition("/")[0] == needed.rpartition("/")[0]:
        return f"was written by another version of qcfeed: it is {schema}, this one reads {needed}"
    return f"contains {schema}, but {needed} is needed here"
