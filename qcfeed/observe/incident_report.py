"""The incident report and the bundle: everything that a service answers, as a document and as a file."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from qcfeed import __version__, formats
from qcfeed.control import redact, routes
from qcfeed.diagnose.evidence import Evidence
from qcfeed.diagnose.report.material import Material
from qcfeed.diagnose.verdict import diagnose
from qcfeed.model.answer import Answer
from qcfeed.model.ended_tasks import TaskFailures, TasksEnded
from qcfeed.model.memory import MemoryUse
from qcfeed.model.orphans import Orphans
from qcfeed.model.report import AuditEntries, Configuration, LogLines, Metrics
from qcfeed.model.saved_tasks import SavedSnapshot
from qcfeed.model.stacks import Stacks
from qcfeed.model.subscribers import Subscribers
from qcfeed.model.task_objects import TasksByObject
from qcfeed.model.tasks import Tasks
from qcfeed.observe.bundle import DIAGNOSIS, Manifest, Recorder, pack, stem
from qcfeed.observe.collector import EvidenceCollector

AnyAnswer = TypeVar("AnyAnswer", bound=Answer)

REPORT_STEM = "report"
"""The name of the report's files in a bundle, without their suffix."""


class Limits(NamedTuple):
    """How many of each kind a report lists, and whether it looks at what memory is made of."""

    tasks: int = 1_000
    lines: int = 1_000
    subscribers: int = 10_000
    saved_tasks: int | None = None
    memory: bool = True


def always() -> str:
    """Nothing keeps the report from collecting more."""
    return ""


def collect(
    recorder: Recorder,
    evidence: Evidence,
    limits: Limits = Limits(),  # noqa: B008 - a named tuple cannot change
    refused: Callable[[], str] = always,
) -> Material:
    """The content of the report; parts that the service does not answer in time are left out.

    ``refused`` is asked before each part: why nothing more may be collected; empty if it may.
    """
    collector = EvidenceCollector(recorder)
    left_out: list[str] = []

    def part(name: str, path: str, kind: type[AnyAnswer], **params: object) -> AnyAnswer | None:
        if why := refused():
            left_out.append(f"{name}: {why}")
            return None
        return collector.part(name, path, kind, **params)

    material = Material(
        diagnosis=diagnose(evidence),
        evidence=evidence,
        host=platform.node(),
        version=__version__,
        tasks=part("tasks one by one", routes.TASKS, Tasks, limit=limits.tasks),
        stacks=part("stacks", routes.STACKS, Stacks),
        log=part("log", routes.LOG, LogLines, limit=limits.lines),
        actions=part("audit log", routes.AUDIT, AuditEntries, limit=limits.lines),
        config=part("configuration", routes.CONFIG, Configuration),
    )
    # Only for the bundle. Last, so that a slow service leaves out these and not the report's parts.
    part("the oldest orphans", routes.ORPHANS, Orphans, limit=limits.tasks)
    part("all subscribers", routes.SUBSCRIBERS, Subscribers, limit=limits.subscribers)
    part("all tasks", routes.TASKS_SNAPSHOT, SavedSnapshot, limit=limits.saved_tasks)
    part("awaited objects", routes.TASKS_BY_OBJECT, TasksByObject)
    part("ended tasks", routes.TASKS_ENDED, TasksEnded)
    part("failures", routes.TASKS_FAILURES, TaskFailures)
    if limits.memory:
        material.memory = part("memory", routes.MEMORY, MemoryUse)
    part("metrics", routes.METRICS, Metrics)
    material.dropped += [*collector.skipped(), *left_out]
    return material


def texts(
    material: Material, secrets: list[str], suffixes: Sequence[str] = (".md", ".html")
) -> dict[str, str]:
    """The report by the suffix of its files."""
    from qcfeed.diagnose.report import html, markdown, sections

    blocks = sections.blocks(material)
    renderers = {".md": markdown.render, ".html": html.render}
    return {
        suffix: formats.printable_lines(redact.redact(renderers[suffix](blocks), secrets))
        for suffix in suffixes
    }


def packed(
    recorder: Recorder, material: Material, documents: dict[str, str]
) -> tuple[bytes, Manifest]:
    """The bundle with all answers and the report, and its manifest."""
    files = {f"{REPORT_STEM}{suffix}": text.encode() for suffix, text in documents.items()}
    files[f"{stem(DIAGNOSIS)}.json"] = msgspec.json.encode(material.diagnosis)
    files |= recorder.answers
    manifest = Manifest(
        pid=material.diagnosis.pid,
        instance=material.diagnosis.instance,
        taken_at=material.diagnosis.taken_at,
        version=__version__,
        files=[],
        skipped=[*material.diagnosis.skipped, *material.dropped],
        why=material.why,
    )
    return pack(files, manifest), manifest
