"""Evidence before the end: the fault is a memory limit that is near."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qcfeed.config import Config
from qcfeed.control import evidence_files
from qcfeed.control.audit import AuditLog
from qcfeed.metrics import memory
from qcfeed.metrics.growth import Point
from qcfeed.metrics.recent_history import RecentHistory
from qcfeed.model.answer import Answer
from qcfeed.model.diagnosis import Diagnosis
from qcfeed.model.orphans import Orphans
from qcfeed.model.saved_tasks import SavedSnapshot
from qcfeed.model.stacks import Stacks
from qcfeed.model.tasks import TasksByLocation
from qcfeed.observe.bundle import Bundle, unpack
from qcfeed.service import evidence
from qcfeed.service.evidence import EvidenceSaver
from tests.integration.service.conftest import Start
from tests.support.running_service import Running, until


def limit(share: float) -> None:
    """The limit of which resident memory is this share."""
    memory.lower(memory.MemoryLimit(int(memory.resident() / share), "test"))


@pytest.fixture(autouse=True)
def _real_limit() -> Iterator[None]:
    yield
    memory.lower(None)


@pytest.fixture
def where(tmp_path: Path) -> Path:
    return tmp_path / "bundles"


def saver(
    running: Running,
    where: Path,
    recent: RecentHistory | None = None,
    instance: str = "8006",
    **options: object,
) -> EvidenceSaver:
    """One that looks only when it is told to."""
    config = Config(evidence_dir=str(where), **options)  # type: ignore[arg-type]
    service = running.service
    audit = AuditLog(where.parent / "audit.jsonl")
    socket = Path(service.listening.control)
    return EvidenceSaver(config, instance, socket, audit, recent or RecentHistory(), service.watch)


def bundles(where: Path) -> list[Path]:
    return sorted(where.iterdir()) if where.exists() else []


def opened(over: EvidenceSaver | Running) -> Bundle:
    """The latest bundle."""
    counts = over.counts() if isinstance(over, EvidenceSaver) else over.service.parts.evidence()
    assert counts.latest is not None
    file = Path(counts.latest.file)
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    return unpack(file, file.read_bytes())


def has(bundle: Bundle, kind: type[Answer]) -> bool:
    return bundle.answer(str(kind.__struct_config__.tag)) is not None


def audited(where: Path) -> list[dict[str, Any]]:
    text = (where.parent / "audit.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def plant(where: Path, *names: str) -> None:
    where.mkdir(mode=0o700)
    for name in names:
        (where / name).touch()


async def look(over: EvidenceSaver, times: int = 1) -> None:
    for _ in range(times):
        await asyncio.to_thread(over.look)


async def test_near_the_limit_the_service_saves_a_bundle_by_itself(
    start: Start, where: Path, caplog: pytest.LogCaptureFixture
) -> None:
    running = await start(evidence_dir=str(where), evidence_at=0.5)
    limit(0.4)
    await asyncio.sleep(1.5)  # it looks once per second
    assert not bundles(where)
    limit(0.6)
    with caplog.at_level(logging.WARNING, "qcfeed.evidence"):
        await until(lambda: running.service.parts.evidence().latest is not None, "a bundle")
    counts = running.service.parts.evidence()
    assert counts.latest is not None
    assert (counts.saved, counts.failed) == (1, 0)
    file = Path(counts.latest.file)
    assert bundles(where) == [file]
    assert counts.latest.why.startswith("memory is at ")
    assert opened(running).manifest.why == counts.latest.why
    report = opened(running).members["report.md"].decode()
    assert [
        line
        for line in report.splitlines()
        if "Saved by itself" in line and counts.latest.why in line
    ]
    after_a_restart = saver(running, where, instance=file.name.rpartition("-")[0]).counts().latest
    assert after_a_restart is not None
    assert after_a_restart.why == counts.latest.why
    assert any(str(file) in record.getMessage() for record in caplog.records)
    bundle = opened(running)
    for kind in (Diagnosis, TasksByLocation, Orphans, Stacks, SavedSnapshot):
        assert has(bundle, kind), kind
    assert "report.md" in bundle.members


async def test_one_bundle_per_episode_and_it_is_audited(running: Running, where: Path) -> None:
    over = saver(running, where)
    limit(0.95)
    await look(over, 3)
    assert over.counts().saved == 1
    lines = audited(where)
    assert [line["event"] for line in lines] == ["intent", "outcome"]
    assert lines[0]["action"] == "evidence save"
    assert lines[0]["who"] == {"via": "service"}
    assert lines[1]["outcome"] == "done"
    assert lines[1]["after"]["file"] == over.counts().latest.file  # type: ignore[union-attr]


async def test_a_later_episode_is_saved_after_the_quiet_time(
    running: Running, where: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "QUIET_S", 0.0)
    over = saver(running, where)
    limit(0.95)
    await look(over)
    limit(0.86)  # no longer over the share, but not clearly below it
    await look(over)
    limit(0.95)
    await look(over)
    assert over.counts().saved == 1
    limit(0.5)
    await look(over)
    limit(0.95)
    await look(over)
    assert over.counts().saved == 2


async def test_growth_with_minutes_left_is_a_reason(running: Running, where: Path) -> None:
    limit(0.5)
    recent = RecentHistory()
    now = asyncio.get_running_loop().time()
    room = memory.limit().bytes - memory.resident()
    points = [
        Point(now - 200 + 10 * n, memory=memory.resident() - room * (20 - n) / 40, live=1)
        for n in range(21)
    ]
    recent.points = lambda since: [each for each in points if each.at >= since]  # type: ignore[method-assign]
    over = saver(running, where, recent)
    await look(over, 2)
    assert over.counts().saved == 1
    assert over.counts().latest.why.startswith("memory reaches its limit in ")  # type: ignore[union-attr]


async def test_nothing_is_saved_on_a_disk_that_is_nearly_full(
    running: Running,
    where: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(evidence_files, "LEAST_FREE", 1 << 60)
    over = saver(running, where)
    limit(0.95)
    with caplog.at_level(logging.WARNING, "qcfeed.evidence"):
        await look(over, 3)
    assert not bundles(where)
    assert over.counts()[1:] == (0, 1), "it is not tried again at once"
    assert "nearly full" in caplog.text
    assert "--evidence-dir" in caplog.text


async def test_little_memory_leaves_parts_out_and_says_so(
    running: Running, where: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "LEAST_LEFT", 1 << 60)
    over = saver(running, where)
    limit(0.95)
    await look(over)
    bundle = opened(over)
    assert not has(bundle, SavedSnapshot)
    assert has(bundle, TasksByLocation)
    skipped = json.loads(bundle.members["manifest.json"])["skipped"]
    assert "all tasks: too little memory was left" in skipped


async def test_the_newest_are_kept_and_the_latest_is_known_after_a_restart(
    running: Running, where: Path
) -> None:
    other = "8006-1-20240320T021500Z.tar.gz"
    plant(where, other, *(f"8006-20240320T0{hour}1500Z.tar.gz" for hour in range(4)))
    over = saver(running, where, evidence_keep=2)
    assert over.counts().latest.saved_at == "2024-03-20T03:15:00Z"  # type: ignore[union-attr]
    limit(0.95)
    await look(over)
    kept = [each.name for each in bundles(where)]
    assert len(kept) == 3
    assert other in kept
    assert "8006-20240320T031500Z.tar.gz" in kept


async def test_zero_means_never(start: Start, where: Path) -> None:
    running = await start(evidence_at=0, evidence_dir=str(where))
    limit(0.99)
    await asyncio.sleep(1.2)
    assert not bundles(where)
    assert running.service.parts.evidence().saved == 0
