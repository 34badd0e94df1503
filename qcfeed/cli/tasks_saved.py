"""Answers kept in files: the JSON as it came, read again anywhere, without the service."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from qcfeed.cli.context import ask, say
from qcfeed.control.answers import Answer
from qcfeed.control.client import ANSWER_BYTES
from qcfeed.errors import UsageError

AnyAnswer = TypeVar("AnyAnswer", bound=Answer)

From = Annotated[
    Path | None,
    typer.Option("--from", metavar="FILE", help="Show what --save wrote; asks no service."),
]
Save = Annotated[
    Path | None,
    typer.Option("--save", metavar="FILE", help="Keep the answer's JSON here too."),
]


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

    It is kept in ``target``, if one is given. Raises what ``ask``, ``read`` and ``write`` do.
    """
    answer, raw = read(source, kind) if source else ask(ctx, path, kind, **params)
    if target is not None:
        write(target, raw)
        say(f"saved in {target}")
    return answer, raw


def write(path: Path, raw: bytes) -> None:
    """All of it or nothing: written beside ``path``, then put in its place.

    Raises UsageError when it cannot be written there.
    """
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(raw + b"\n")
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error


def read(path: Path, kind: type[AnyAnswer]) -> tuple[AnyAnswer, bytes]:
    """The answer of this kind in a file. Raises UsageError when there is none."""
    raw = _bytes(path)
    schema = _schema(path, raw)
    wanted = str(kind.__struct_config__.tag)
    if schema != wanted:
        raise UsageError(f"{path} {_other(schema, wanted)}", hint=_HINTS.get(wanted))
    try:
        return msgspec.json.decode(raw, type=kind), raw.rstrip(b"\n")
    except msgspec.MsgspecError as error:
        raise UsageError(f"{path} says {schema} and is not: {error}") from error


def schema_of(path: Path) -> str:
    """What kind of answer a file holds. Raises UsageError when it holds none."""
    return _schema(path, _bytes(path))


_HINTS = {
    "qcfeed.tasks.by_location/1": "`qcfeed tasks --by-location --save FILE` writes one",
    "qcfeed.tasks/1": "`qcfeed tasks --save FILE` writes one",
    "qcfeed.findings/1": "`qcfeed tasks findings --save FILE` writes one",
}


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
            hint="`qcfeed tasks --by-location --save FILE` writes one",
        ) from error
    if not schema.startswith("qcfeed."):
        raise UsageError(f"{path} is JSON, but no answer of qcfeed")
    return schema


def _other(schema: str, wanted: str) -> str:
    if schema.rpartition("/")[0] == wanted.rpartition("/")[0]:
        return f"was written by another version of qcfeed: it is {schema}, this one reads {wanted}"
    return f"holds {schema}; {wanted} is needed here"
