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
from qcfeed.formats import printable_json
from qcfeed.model.answer import Answer, AnswerSchema
from qcfeed.model.json_errors import JSON_ERRORS

if TYPE_CHECKING:
    from qcfeed.control.client import ControlClient

AnyAnswer = TypeVar("AnyAnswer", bound=Answer)

GZIP_MAGIC = b"\x1f\x8b"
MAX_MEMBERS = 100
MEMBER_BYTES = 32 * 2**20
"""The most bytes of one file in a bundle; a longer answer is left out and named in the manifest."""
BUNDLE_BYTES = 128 * 2**20
"""The most bytes of all files in a bundle, uncompressed."""
_CHUNK = 2**20
MANIFEST = "manifest.json"
DIAGNOSIS = "/v1/diagnosis"
"""Not a route: the command line makes the diagnosis. It is saved as if it were an answer."""
ALERTS = "/v1/alerts"
PROMETHEUS_HISTORY = "/v1/prometheus/history"
OF_PROMETHEUS = (ALERTS, PROMETHEUS_HISTORY)
"""Not routes either: what Prometheus said, if it was asked."""
_ANSWERS = "answers/"


class BundleFile(msgspec.Struct, kw_only=True):
    """One file of a bundle; ``schema`` is empty if it is not an answer."""

    name: str
    schema: str
    bytes: int


class Manifest(Answer, kw_only=True, tag="qcfeed.bundle/2"):
    """The content of a bundle, and what was left out of it.

    ``why``: what made the service save it by itself; None if somebody asked for it.
    """

    version: str
    files: list[BundleFile]
    skipped: list[str]
    why: str | None = None


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
        raw = printable_json(redact.answer(answer, self._secrets)).encode()
        name = stem(path)
        if (last := self.answers.get(f"{name}.json")) is not None:
            self.answers.setdefault(f"{name}.first.json", last)
        self.answers[f"{name}.json"] = raw
        return self._control.decode(raw, answer_type)

    def keep(self, path: str, answer: Answer) -> None:
        """Keep an answer that is not the service's, as if it had been requested at ``path``."""
        raw = redact.answer(msgspec.json.encode(answer), self._secrets)
        self.answers[f"{stem(path)}.json"] = printable_json(raw).encode()


class Bundle:
    """A bundle read from a file."""

    def __init__(self, path: Path, members: dict[str, bytes], manifest: Manifest) -> None:
        self.path = path
        self.members = members
        self.manifest = manifest

    def has(self, route: str) -> bool:
        """Whether it has the answer to a request."""
        return f"{stem(route)}.json" in self.members

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


def schema_of(raw: bytes) -> str:
    """The schema of an answer's JSON; empty if it is not an answer."""
    try:
        return msgspec.json.decode(raw, type=AnswerSchema).schema
    except JSON_ERRORS:
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
        manifest.files.append(BundleFile(name=name, schema=schema_of(content), bytes=len(content)))
    members = {MANIFEST: msgspec.json.format(msgspec.json.encode(manifest)), **kept}
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(content), 0o600, int(time.time())
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def is_bundle(raw: bytes) -> bool:
    """Whether a file's content is gzip-compressed, as bundles are; ``unpack`` checks the rest."""
    return raw.startswith(GZIP_MAGIC)


def unpack(path: Path, raw: bytes) -> Bundle:
    """Read the bundle ``raw``, the content of ``path``. Raises UsageError if it is not a bundle.

    At most ``BUNDLE_BYTES`` are decompressed, in memory; nothing is extracted to disk.
    """
    import gzip
    import tarfile
    import zlib

    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
            archive = bytearray()
            while piece := file.read(_CHUNK):
                archive += piece
                if len(archive) > BUNDLE_BYTES:
                    raise UsageError(f"{path} is larger than any bundle")
        members = dict(_members(bytes(archive)))
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise UsageError(
            f"{path} is not a bundle, or is truncated: {error}",
            hint="`qcfeed report --bundle FILE.tar.gz` writes one",
        ) from error
    found, needed = schema_of(members.get(MANIFEST, b"")), str(Manifest.__struct_config__.tag)
    if found.rpartition("/")[0] != needed.rpartition("/")[0]:
        raise UsageError(
            f"{path} is an archive, but not a bundle of this version of qcfeed",
            hint="`qcfeed report --bundle FILE.tar.gz` writes one",
        )
    if found != needed:
        raise UsageError(
            f"{path} was written by another version of qcfeed: it is {found}, this one reads {needed}",
            hint="read it with the qcfeed that wrote it",
        )
    try:
        manifest = msgspec.json.decode(members[MANIFEST], type=Manifest)
    except JSON_ERRORS as error:
        raise UsageError(f"{path} claims to be {found} but is not: {error}") from error
    return Bundle(path, members, manifest)


def manifest_of(path: Path) -> Manifest | None:
    """The manifest at the beginning of a bundle, without reading the rest; None if there is none."""
    import gzip
    import tarfile
    import zlib

    try:
        with path.open("rb") as file, gzip.GzipFile(fileobj=file) as content:
            name, raw = next(_members(content.read(_CHUNK)))
        return msgspec.json.decode(raw, type=Manifest) if name == MANIFEST else None
    except (OSError, EOFError, zlib.error, tarfile.TarError, StopIteration, *JSON_ERRORS):
        return None


def _members(archive: bytes) -> Iterator[tuple[str, bytes]]:
    """The regular files of an archive.

    Reads plain headers only, as ``pack`` writes them. tarfile would follow extended headers, which
    may claim any size and which its patterns read in quadratic time.
    """
    import tarfile

    offset = 0
    for _ in range(MAX_MEMBERS):
        header = archive[offset : offset + tarfile.BLOCKSIZE]
        if not header.strip(b"\0"):
            return
        info = tarfile.TarInfo.frombuf(header, "utf-8", "replace")
        begin = offset + tarfile.BLOCKSIZE
        offset = begin + -(-info.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        if info.size < 0 or offset > len(archive):
            raise tarfile.ReadError("a file in it is not complete")
        if info.isreg():
            yield info.name, archive[begin : begin + info.size]
    raise tarfile.ReadError(f"it has more than {MAX_MEMBERS} files")


def stem(path: str) -> str:
    """The name of a route's answer in a bundle: ``answers/tasks-by-location`` for ``/v1/tasks/by-location``."""
    return _ANSWERS + path.removeprefix("/v1/").replace("/", "-")
