"""Saves a bundle of evidence before memory ends: at a share of the limit, or when minutes are left.

A thread of its own looks once per second. It asks the service's control plane over its socket, as
`qcfeed report --bundle` does, so the event loop goes on meanwhile. It must not exhaust the memory itself:
it requests few rows of each kind, stops once little memory is left, and records what it left out.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

from qcfeed.config import Config
from qcfeed.control import evidence_files, paths, redact
from qcfeed.control.audit import AuditLog
from qcfeed.control.client import ControlClient
from qcfeed.control.routes import TASKS_BY_LOCATION
from qcfeed.diagnose.evidence import DiagnosisThresholds
from qcfeed.diagnose.memory import ongoing_growth
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.drills.runner import SERVICE_CALLER
from qcfeed.errors import QcfeedError, TimedOutError
from qcfeed.formats import age, milliseconds, size
from qcfeed.metrics import memory
from qcfeed.metrics.recent_history import RecentHistory
from qcfeed.model.status import SavedEvidence
from qcfeed.model.tasks import TasksByLocation
from qcfeed.observe import bundle, incident_report
from qcfeed.observe.bundle import Recorder
from qcfeed.observe.collector import EvidenceCollector, conclude
from qcfeed.observe.incident_report import Limits
from qcfeed.server.service_parts import EvidenceCounts

log = logging.getLogger("qcfeed.evidence")

MINUTES_LEFT_S = 600.0
"""Growth that reaches the limit within this time is a reason."""
OVER = 0.9
"""An episode is over when memory is below this share of what began it."""
QUIET_S = 3_600.0
"""Seconds after a bundle in which the same reason begins no further one."""
RETRY_S = 300.0
"""Seconds after a failure until it is tried again."""
LONGEST_S = 30.0
"""Seconds after which no further part is requested."""
LEAST_LEFT = 8 * 2**20
"""Bytes below the limit that must be left for a further part."""
FOR_MEMORY = 64 * 2**20
"""The same for the part that shows what memory is used for."""
FEW = Limits(tasks=200, lines=300, subscribers=500, saved_tasks=1_000)
_CHECK_S = 1.0
_WINDOW_S = 1.0
_TIMEOUT_S = 5.0


class EvidenceSaver:
    """Saves bundles for one service, at most one per reason and episode."""

    def __init__(
        self,
        config: Config,
        instance: str,
        socket: Path,
        audit: AuditLog,
        recent: RecentHistory,
        watch: LoopWatch,
    ) -> None:
        self._config = config
        self._instance = instance
        self._client = ControlClient(paths.ControlAddress(socket=socket), timeout=_TIMEOUT_S)
        self._audit = audit
        self._recent = recent
        self._watch = watch
        self.directory = _directory(config)
        """None if there is none, so that nothing can be saved."""
        self._counts = EvidenceCounts(latest=self._earlier())
        self._episodes: dict[str, float] = {}
        """The reasons for which there is a bundle, with the time of it, until the reason is gone."""
        self._retry_at = 0.0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def counts(self) -> EvidenceCounts:
        """What was saved; from any thread."""
        return self._counts

    def start(self) -> None:
        """Begin to watch, unless ``--evidence-at`` is 0 or there is no directory for bundles."""
        if self._config.evidence_at and self.directory is not None:
            self._thread = threading.Thread(target=self._run, name="qcfeed-evidence", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the watch. It blocks while a bundle is being written: seconds at most."""
        self._stopping.set()
        self._client.abort()
        if self._thread is not None:
            self._thread.join(_TIMEOUT_S)

    def _earlier(self) -> SavedEvidence | None:
        """The latest bundle of an earlier run."""
        if self.directory is None:
            return None
        found = evidence_files.saved(self.directory, self._instance)
        if not found:
            return None
        file = found[-1]
        manifest = bundle.manifest_of(file)
        return SavedEvidence(
            file=str(file),
            saved_at=evidence_files.saved_at(file),
            file_bytes=file.stat().st_size,
            why=(manifest and manifest.why) or "before the last start",
        )

    def _run(self) -> None:
        while not self._stopping.wait(_CHECK_S):
            try:
                self.look()
            except Exception:  # the thread must outlive a bug
                log.exception("evidence could not be saved")
                self._retry_at = time.monotonic() + RETRY_S

    def look(self) -> None:
        """Save a bundle if there is a new reason to."""
        now = time.monotonic()
        reasons = self._reasons(now)
        for kind, begun in list(self._episodes.items()):
            if kind not in reasons and now - begun > QUIET_S and not self._still(kind):
                del self._episodes[kind]
        new = [kind for kind in reasons if kind not in self._episodes]
        if not new or now < self._retry_at or self.directory is None:
            return
        if self._save(self.directory, reasons[new[0]]):
            self._episodes |= dict.fromkeys(new, now)

    def _reasons(self, now: float) -> dict[str, str]:
        """Why evidence should be saved now: kinds of reasons, and each in words."""
        limit, resident = memory.limit(), memory.resident()
        found = {}
        if resident >= self._config.evidence_at * limit.bytes:
            share = resident / limit.bytes
            found["level"] = f"memory is at {share:.0%} of {size(limit.bytes)} ({limit.source})"
        points = self._recent.points(now - QUIET_S)
        grows = ongoing_growth(points, limit.bytes, DiagnosisThresholds())
        if grows is not None and grows.left_s <= MINUTES_LEFT_S:
            found["growth"] = f"memory reaches its limit in {age(grows.left_s)}"
        return found

    def _still(self, kind: str) -> bool:
        """Whether memory has not fallen clearly below the level that was a reason."""
        at = OVER * self._config.evidence_at * memory.limit().bytes
        return kind == "level" and memory.resident() >= at

    def _save(self, directory: Path, why: str) -> bool:
        file = evidence_files.new_file(directory, self._instance)
        log.warning("%s: saving evidence", why)
        try:
            evidence_files.check_room(directory)
            request = {"why": why, "file": str(file)}
            entry = self._audit.intend("evidence save", SERVICE_CALLER, request)
            try:
                with self._watch.measure() as measured:
                    saved = self._write(file, why)
            except BaseException as error:
                self._audit.conclude(entry, "failed", error=f"{error!r}")
                raise
        except (QcfeedError, OSError, MemoryError) as error:
            self._retry_at = time.monotonic() + RETRY_S
            self._counts = self._counts._replace(failed=self._counts.failed + 1)
            hint = getattr(error, "hint", None)
            log.warning("evidence was not saved: %s%s", error, f"; {hint}" if hint else "")
            return False
        self._audit.conclude(entry, "done", answer=saved)
        self._counts = self._counts._replace(latest=saved, saved=self._counts.saved + 1)
        log.warning(
            "evidence was saved in %s (%s); the event loop waited %s at most meanwhile",
            file, size(saved.file_bytes), milliseconds(measured.longest * 1000),
        )  # fmt: skip
        evidence_files.prune(directory, self._instance, self._config.evidence_keep)
        return True

    def _write(self, file: Path, why: str) -> SavedEvidence:
        content = self._bundle(why)
        evidence_files.write(file, content)
        at = evidence_files.saved_at(file)
        return SavedEvidence(file=str(file), saved_at=at, file_bytes=len(content), why=why)

    def _bundle(self, why: str) -> bytes:
        secrets = redact.values(os.environ)
        recorder = Recorder(self._client, secrets)
        deadline = time.monotonic() + LONGEST_S
        before = recorder.get(TASKS_BY_LOCATION, TasksByLocation)
        if self._stopping.wait(_WINDOW_S):
            raise TimedOutError("the service stops")
        called = f"qcfeed --instance {self._instance}"
        evidence = conclude(EvidenceCollector(recorder), before, [], called=called)
        limits = FEW._replace(memory=_left() > FOR_MEMORY)
        material = incident_report.collect(recorder, evidence, limits, lambda: _refused(deadline))
        material.why = why
        # One document, because each takes as much memory as the answers.
        documents = incident_report.texts(material, secrets, (".md",))
        return incident_report.packed(recorder, material, documents)[0]


def _directory(config: Config) -> Path | None:
    """Where bundles go; None, with a line in the log, for a user without a home directory."""
    try:
        return evidence_files.directory(config.evidence_dir)
    except (QcfeedError, OSError) as error:
        if config.evidence_at:
            log.warning("no evidence will be saved: %s; --evidence-dir names a directory", error)
        return None


def _refused(deadline: float) -> str:
    """Why no further part may be requested; empty if it may."""
    if _left() < LEAST_LEFT:
        return "too little memory was left"
    return "it took too long" if time.monotonic() > deadline else ""


def _left() -> int:
    """Bytes between resident memory and its limit."""
    return memory.limit().bytes - memory.resident()
