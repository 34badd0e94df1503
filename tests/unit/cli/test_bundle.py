from __future__ import annotations

import contextvars
import gzip
import json
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from qcfeed.cli import command_tree, saved_files, target
from qcfeed.cli.bundle_readers import ANSWERED_BY
from qcfeed.control.routes import ORPHANS, TASKS_BY_LOCATION
from qcfeed.errors import NotFoundError, QcfeedError, UsageError
from qcfeed.model.answer import Answer
from qcfeed.model.orphans import Orphans
from qcfeed.model.saved_tasks import SavedSnapshot
from qcfeed.model.tasks import TasksByLocation
from qcfeed.observe import bundle
from qcfeed.observe.bundle import Manifest

from .conftest import Left

NONE = b'{"schema":"qcfeed.orphans/3","total":0,"orphans":[]}'


def made(tmp_path: Path, files: dict[str, bytes], why: str | None = None) -> tuple[Path, Manifest]:
    manifest = Manifest(version="0", files=[], skipped=[], why=why)
    path = tmp_path / "b.tar.gz"
    path.write_bytes(bundle.pack(files, manifest))
    return path, manifest


def test_a_bundle_is_written_and_read_back(tmp_path: Path) -> None:
    path, manifest = made(tmp_path, {"answers/orphans.json": NONE, "report.md": b"# x"})
    assert [(f.name, f.schema) for f in manifest.files] == [
        ("answers/orphans.json", "qcfeed.orphans/3"),
        ("report.md", ""),
    ]
    assert saved_files.schema_of(path) == "qcfeed.bundle/2"
    assert saved_files.read(path, ORPHANS, Orphans)[1] == NONE
    with pytest.raises(NotFoundError, match=r"does not contain qcfeed\.tasks\.by_location/3"):
        saved_files.read(path, TASKS_BY_LOCATION, TasksByLocation)


def test_a_bundle_keeps_why_the_service_saved_it(
    tmp_path: Path, qcfeed_: Callable[..., Left]
) -> None:
    path, _ = made(tmp_path, {"answers/orphans.json": NONE}, why="memory is at 91 % of 2.0 GiB")
    found = bundle.manifest_of(path)
    assert found is not None
    assert found.why == "memory is at 91 % of 2.0 GiB"
    told = qcfeed_("orphans", "--from", str(path)).err
    assert "saved by the service itself: memory is at 91 % of 2.0 GiB" in told
    path, _ = made(tmp_path, {"answers/orphans.json": NONE})
    assert "itself" not in qcfeed_("orphans", "--from", str(path)).err
    whole = path.read_bytes()
    for broken in (b"", whole[:20], b"text", gzip.compress(b"x" * 600)):
        path.write_bytes(broken)
        assert bundle.manifest_of(path) is None


def test_only_what_a_bundle_has_is_suggested(tmp_path: Path) -> None:
    path, _ = made(tmp_path, {"answers/orphans.json": NONE})
    saved_files.read(path, ORPHANS, Orphans)
    assert target.addressed("qcfeed orphans") == f"qcfeed orphans --from {path}"
    for other in ("memory", "status", "tasks --by-location", "growth", "top"):
        assert target.addressed(f"qcfeed {other}") is None
    path, _ = made(tmp_path, {"answers/orphans.json": NONE, "answers/memory.json": b"{}"})
    saved_files.read(path, ORPHANS, Orphans)
    assert target.addressed("qcfeed memory") == f"qcfeed memory --from {path}"


def test_of_every_command_that_reads_bundles_it_is_known_what_it_needs() -> None:
    readers = {
        each.command_path.split()[1]
        for each in command_tree.commands()
        for param in each.command.get_params(each)
        if "--from" in param.opts
    }
    assert readers == ANSWERED_BY.keys() == target.READERS


def test_a_target_ends_with_what_named_it(tmp_path: Path) -> None:
    path, _ = made(tmp_path, {"answers/orphans.json": NONE})
    with target.command_line():
        saved_files.read(path, ORPHANS, Orphans)
        assert target.current().source == path
    assert target.current().source is None
    outside = contextvars.Context()  # where no command line has begun
    outside.run(saved_files.read, path, ORPHANS, Orphans)
    assert outside.run(target.current).source is None


def test_a_saved_answer_takes_no_filter(tmp_path: Path) -> None:
    path, _ = made(tmp_path, {"answers/orphans.json": NONE})
    saved_files.read(path, ORPHANS, Orphans, limit=3, site="", spread=False)
    with pytest.raises(UsageError, match="one saved answer to this, to which site cannot be"):
        saved_files.read(path, ORPHANS, Orphans, limit=3, site="feed.py")


@pytest.mark.parametrize("kind", [SavedSnapshot, Orphans])
def test_a_bundle_of_another_version_says_which_one_it_is(
    tmp_path: Path, kind: type[Answer]
) -> None:
    """Not "the service did not answer": the answer is there, this version cannot read it."""
    ours = str(kind.__struct_config__.tag)
    theirs = ours.rpartition("/")[0] + "/99"
    path, _ = made(tmp_path, {"answers/a.json": json.dumps({"schema": theirs}).encode()})
    route = {SavedSnapshot: TASKS_BY_LOCATION, Orphans: ORPHANS}[kind]
    with pytest.raises(
        UsageError, match=f"another version.* it is {theirs}, this one reads {ours}"
    ):
        saved_files.read(path, route, Orphans)


def test_files_that_are_too_large_are_left_out_and_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "MEMBER_BYTES", 100)
    monkeypatch.setattr(bundle, "BUNDLE_BYTES", 150)
    files = {"a": b"a" * 101, "b": b"b" * 100, "c": b"c" * 60, "d": b"d" * 50}
    path, _ = made(tmp_path, files)
    monkeypatch.undo()
    opened = bundle.unpack(path, path.read_bytes())
    assert opened.members.keys() == {"manifest.json", "b", "d"}
    dropped = json.loads(opened.members["manifest.json"])["skipped"]
    assert [each.split(":")[0] for each in dropped] == ["a", "c"]


def test_a_bundle_that_is_larger_than_any_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = made(tmp_path, {"a": b"0" * 100_000})
    monkeypatch.setattr(bundle, "BUNDLE_BYTES", 50_000)
    with pytest.raises(UsageError, match="larger than any bundle"):
        bundle.unpack(path, path.read_bytes())


def test_an_answer_of_a_later_version_is_a_clear_error(tmp_path: Path) -> None:
    path, _ = made(tmp_path, {"answers/orphans.json": b'{"schema":"qcfeed.orphans/3","total":"x"}'})
    with pytest.raises(UsageError, match="but is not"):
        saved_files.read(path, ORPHANS, Orphans)


def header(name: str, size: int, kind: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_claims_three_gigabytes_reserves_none(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "evil.tar.gz"
    path.write_bytes(gzip.compress(header("x", 3 * 2**30, kind) + b"0" * 1_000))
    tracemalloc.start()
    try:
        with pytest.raises(UsageError, match="not a bundle"):
            saved_files.read(path, ORPHANS, Orphans)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * 2**20


def test_a_small_file_that_grows_without_end_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "evil.tar.gz"
    path.write_bytes(gzip.compress(b"\n" * 1_000_000) * 200)
    with pytest.raises(UsageError, match="larger than any bundle"):
        saved_files.read(path, ORPHANS, Orphans)


def test_an_archive_of_too_many_files(tmp_path: Path) -> None:
    path = tmp_path / "evil.tar.gz"
    path.write_bytes(gzip.compress(header("x", 0, tarfile.REGTYPE) * 1_000))
    with pytest.raises(UsageError, match="more than 100 files"):
        saved_files.read(path, ORPHANS, Orphans)


def test_deeply_nested_json_is_one_clear_error(tmp_path: Path) -> None:
    nested = b"[" * 200_000 + b"]" * 200_000
    path = tmp_path / "deep.json"
    path.write_bytes(b'{"schema":' + nested + b"}")
    with pytest.raises(UsageError, match="not an answer of qcfeed"):
        saved_files.read(path, ORPHANS, Orphans)
    packed, _ = made(tmp_path, {"answers/orphans.json": path.read_bytes()})
    with pytest.raises(QcfeedError, match=r"does not contain qcfeed.orphans"):
        saved_files.read(packed, ORPHANS, Orphans)
