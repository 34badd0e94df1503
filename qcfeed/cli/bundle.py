"""A bundle: every answer that a report asked for, in one file; and commands that read it.

A gzipped tar: ``manifest.json``, ``answers/*.json`` as the service gave them, ``metrics.txt`` and the
report. Of what was asked for twice the first answer is ``answers/NAME.first.json``.
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
from qcfeed.model.answers import Answer

if TYPE_CHECKING:  # commands that read no bundle do not pay for it
    import tarfile

    from qcfeed.control.client import ControlClient

AnyAnswer = TypeVar("AnyAnswer", bound=Answer)

MAGIC = b"\x1f\x8b"
MEMBERS = 100
MEMBER_BYTES = 32 * 2**20
"""Of one file in a bundle; a longer answer is left out, and the manifest says so."""
BUNDLE_BYTES = 128 * 2**20
"""Of all of them."""
MANIFEST = "manifest.json"
DIAGNOSIS = "/v1/diagnosis"
"""No route: the command judges. It is kept as if it had been answered."""
_ANSWERS = "answers/"


class Member(msgspec.Struct, kw_only=True):
    """One file of a bundle; ``schema`` is empty for one that is no answer."""

    name: str
    schema: str
    bytes: int


class Manifest(Answer, kw_only=True, tag="qcfeed.bundle/2"):
    """What a bundle holds, and what was left out of it."""

    version: str
    files: list[Member]
    skipped: list[str]


class Recorder:
    """Asks a control plane, and keeps what it said: of each question the first and the last answer."""

    def __init__(self, asked: ControlClient, secrets: list[str]) -> None:
        self._asked = asked
        self._secrets = secrets
        self.answers: dict[str, bytes] = {}
        """By name in a bundle, without secrets."""

    def get(self, path: str, answer_type: type[AnyAnswer], **params: Any) -> AnyAnswer:
        """As ControlClient.get."""
        told = self._asked.fetch(path, **params, **{REDACTED: 1})  # by what the service knows
        raw = redact.answer(told, self._secrets)  # and by what is known here
        name = stem(path)
        if (last := self.answers.get(f"{name}.json")) is not None:
            self.answers.setdefault(f"{name}.first.json", last)
        self.answers[f"{name}.json"] = raw
        return self._asked.decode(raw, answer_type)


class Bundle:
    """A bundle that is read."""

    def __init__(self, path: Path, members: dict[str, bytes]) -> None:
        self.path = path
        self.members = members

    def answer(self, schema: str) -> bytes | None:
        """The JSON of the last answer with this schema, of whatever version (``qcfeed.orphans/2``).

        The caller decodes it, and says so if the version is another one than its own. None if the
        bundle has no such answer.
        """
        wanted = schema.rpartition("/")[0]
        for name, raw in sorted(self.members.items()):
            whole = name.startswith(_ANSWERS) and not name.endswith(".first.json")
            if whole and schema_of(raw).rpartition("/")[0] == wanted:
                return raw
        return None


class _Head(msgspec.Struct):
    schema: str = ""


def schema_of(raw: bytes) -> str:
    """What kind of answer this JSON is; empty for none."""
    try:
        return msgspec.json.decode(raw, type=_Head).schema
    except msgspec.MsgspecError:
        return ""


def pack(files: dict[str, bytes], manifest: Manifest) -> bytes:
    """The bundle's bytes; what is too long for it is left out and named in the manifest."""
    kept, room = {}, BUNDLE_BYTES
    for name, content in files.items():
        if len(content) > min(MEMBER_BYTES, room):
            manifest.skipped.append(f"{name}: {len(content):,} bytes are too many for a bundle")
            continue
        room -= len(content)
        kept[name] = content
        manifest.files.append(Member(name=name, schema=schema_of(content), bytes=len(content)))
    made = {MANIFEST: msgspec.json.format(msgspec.json.encode(manifest)), **kept}
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name, content in made.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(content), 0o600, int(time.time())
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def is_bundle(path: Path) -> bool:
    """Whether a file is packed; that it is a bundle, ``unpack`` finds out."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False  # who reads it says why


def unpack(path: Path) -> Bundle:
    """A bundle from a file, nothing of it written anywhere. Raises UsageError for what is none."""
    import tarfile

    try:
        with tarfile.open(path, "r:gz") as archive:
            members = dict(_members(archive))
    except (OSError, EOFError, tarfile.TarError) as error:
        raise UsageError(
            f"{path} is no bundle, or not all of one: {error}",
            hint="`qcfeed report --bundle FILE.tar.gz` writes one",
        ) from error
    if schema_of(members.get(MANIFEST, b"")) != Manifest.__struct_config__.tag:
        raise UsageError(f"{path} is a packed file, but no bundle of this qcfeed's")
    return Bundle(path, members)


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    """Its plain files, as many and as long as a bundle may have."""
    room = BUNDLE_BYTES
    for number, info in enumerate(archive):
        if number > MEMBERS or info.size > room:
            raise UsageError("the file is larger than any bundle")
        file = archive.extractfile(info) if info.isfile() else None
        if file is not None:
            room -= info.size
            yield info.name, file.read(info.size)


def stem(path: str) -> str:
    """``/v1/tasks/by-location`` -> ``answers/tasks-by-location``"""
    return _ANSWERS + path.removeprefix("/v1/").replace("/", "-")
