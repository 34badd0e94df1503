"""Bundles: writes and reads the file with every answer that ``qcfeed report`` received.

A gzipped tar with ``manifest.json``, ``answers/*.json`` as the service sent them, and the report. If
something was requested twice, the first answer is ``answers/NAME.first.json``.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from qcfeed.control import redact
from qcfeed.control.routes import REDACTED
from qcfeed.errors import UsageError
from qcfeed.model.answer import Answer

if TYPE_CHECKING:  # tarfile is imported only where a bundle is written or read: startup time
    import tarfile

    from qcfeed.control.client import ControlClient

AnyAnswer = TypeVar("AnyAnswer", bound=Answer)

GZIP_MAGIC = b"\x1f\x8b"
MAX_MEMBERS = 100
MEMBER_BYTES = 32 * 2**20
"""The most bytes of one file in a bundle; a longer answer is left out and named in the manifest."""
BUNDLE_BYTES = 128 * 2**20
"""The most bytes of all files in a bundle, uncompressed."""
MANIFEST = "manifest.json"
DIAGNOSIS = "/v1/diagnosis"
"""Not a route: the command line makes the diagnosis. It is saved as if it were an answer."""
_ANSWERS = "answers/"


class Member(msgspec.Struct, kw_only=True):
    """One file of a bundle; ``schema`` is empty if it is not an answer."""

    name: str
    schema: str
    bytes: int


class Manifest(Answer, kw_only=True, tag="qcfeed.bundle/2"):
    """The content of a bundle, and what was left out of it."""

    version: str
    files: list[Member]
    skipped: list[str]


class Recorder:
    """A control client that keeps the first and the last answer to each request, without secrets."""

    def __init__(self, control: ControlClient, secrets: list[str]) -> None:
        self._control = control
        self._secrets = secrets
        self.answers: dict[str, bytes] = {}
        """The answers by their name in a bundle."""

    def get(self, path: str, answer_type: type[AnyAnswer], **params: Any) -> AnyAnswer:
        """As ControlClient.get."""
        # The service redacts the secrets that it knows, redact.answer those that are known here.
        answer = self._control.fetch(path, **params, **{REDACTED: 1})
        raw = redact.answer(answer, self._secrets)
        name = stem(path)
        if (last := self.answers.get(f"{name}.json")) is not None:
            self.answers.setdefault(f"{name}.first.json", last)
        self.answers[f"{name}.json"] = raw
        return self._control.decode(raw, answer_type)


class Bundle:
    """A bundle read from a file."""

    def __init__(self, path: Path, members: dict[str, bytes]) -> None:
        self.path = path
        self.members = members

    def answer(self, schema: str) -> bytes | None:
        """The JSON of the last answer with this schema in any version; None if there is none.

        For example ``qcfeed.orphans/2`` also finds version 1. The caller checks the version.
        """
        family = schema.rpartition("/")[0]
        for name, raw in sorted(self.members.items()):
            latest = name.startswith(_ANSWERS) and not name.endswith(".first.json")
            if latest and schema_of(raw).rpartition("/")[0] == family:
                return raw
        return None


class _Schema(msgspec.Struct):
    schema: str = ""


def schema_of(raw: bytes) -> str:
    """The schema of an answer's JSON; empty if it is not an answer."""
    try:
        return msgspec.json.decode(raw, type=_Schema).schema
    except msgspec.MsgspecError:
        return ""


def pack(files: dict[str, bytes], manifest: Manifest) -> bytes:
    """The bytes of a bundle of these files; files that are too long are named in ``manifest.skipped``."""
    kept, budget = {}, BUNDLE_BYTES
    for name, content in files.items():
        if len(content) > min(MEMBER_BYTES, budget):
            manifest.skipped.append(f"{name}: too large for a bundle ({len(content):,} bytes)")
            continue
        budget -= len(content)
        kept[name] = content
        manifest.files.append(Member(name=name, schema=schema_of(content), bytes=len(content)))
    members = {MANIFEST: msgspec.json.format(msgspec.json.encode(manifest)), **kept}
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(content), 0o600, int(time.time())
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def is_bundle(path: Path) -> bool:
    """Whether a file is gzip-compressed, as bundles are; ``unpack`` checks the rest."""
    try:
        with path.open("rb") as file:
            return file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    except OSError:
        return False  # the caller reads the file next and reports the error


def unpack(path: Path) -> Bundle:
    """Read a bundle into memory; extracts nothing to disk. Raises UsageError if it is not a bundle."""
    import tarfile

    try:
        with tarfile.open(path, "r:gz") as archive:
            members = dict(_members(archive))
    except (OSError, EOFError, tarfile.TarError) as error:
        raise UsageError(
            f"{path} is not a bundle, or is truncated: {error}",
            hint="`qcfeed report --bundle FILE.tar.gz` writes one",
        ) from error
    if schema_of(members.get(MANIFEST, b"")) != Manifest.__struct_config__.tag:
        raise UsageError(f"{path} is an archive, but not a bundle of this version of qcfeed")
    return Bundle(path, members)


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    """The regular files of an archive, within the limits of a bundle."""
    budget = BUNDLE_BYTES
    for number, info in enumerate(archive):
        if number > MAX_MEMBERS or info.size > budget:
            raise UsageError("the file is larger than any bundle")
        file = archive.extractfile(info) if info.isfile() else None
        if file is not None:
            budget -= info.size
            yield info.name, file.read(info.size)


def stem(path: str) -> str:
    """The name of a route's answer in a bundle: ``answers/tasks-by-location`` for ``/v1/tasks/by-location``."""
    return _ANSWERS + path.removeprefix("/v1/").replace("/", "-")
