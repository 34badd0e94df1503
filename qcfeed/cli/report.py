"""``qcfeed report``: collects the evidence before a restart, as a document and as a bundle."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import typer

from qcfeed import __version__
from qcfeed.cli import output_files, prometheus, target
from qcfeed.cli.bundle import DIAGNOSIS, Manifest, Recorder, pack, stem
from qcfeed.cli.context import client, examples, new_app, options, say
from qcfeed.cli.diagnose import outside
from qcfeed.cli.diagnose.gather import gather
from qcfeed.cli.ui import durations, formats, render
from qcfeed.control import redact, routes
from qcfeed.diagnose.evidence import Evidence
from qcfeed.diagnose.report.material import Material
from qcfeed.diagnose.verdict import diagnose
from qcfeed.errors import ExitStatus, UsageError
from qcfeed.model.ended_tasks import TaskFailures, TasksEnded
from qcfeed.model.memory import MemoryUse
from qcfeed.model.orphans import Orphans
from qcfeed.model.report import AuditEntries, Configuration, Log, Metrics
from qcfeed.model.saved_tasks import SavedSnapshot
from qcfeed.model.stacks import Stacks
from qcfeed.model.subscribers import Subscribers
from qcfeed.model.task_objects import TasksByObject
from qcfeed.model.tasks import Tasks
from qcfeed.observe.collector import Collector

WINDOW = 5.0
"""Seconds between the two snapshots, by default."""
TASKS_LIMIT = 1_000
LINES_LIMIT = 1_000
SUBSCRIBERS_LIMIT = 10_000
_FORMATS = {"": ".md", "markdown": ".md", "html": ".html"}
"""The formats, each with the suffix of its files."""
REPORT_STEM = "report"
"""The name of the report's files in a bundle, without their suffix."""

app = new_app()


def report(
    ctx: typer.Context,
    form: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            metavar="FORMAT",
            help="markdown, or html (with plots). Default: markdown.",
        ),
    ] = "",
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the report to FILE.md or FILE.html. Default: stdout."
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also save all answers, stacks, metrics and settings (tar.gz), to read with --from.",
        ),
    ] = None,
    window: Annotated[
        float | None,
        typer.Option(
            parser=durations.parse,
            metavar="DURATION",
            help="Time between the two snapshots. Default: 5s.",
        ),
    ] = None,
    force: output_files.Force = False,
    **flags: Any,
) -> None:
    """Write an incident report, or a bundle of all the evidence, before a restart.

    The report has the alerts, the findings, the timeline, growth by location, subscriptions,
    staleness, a dump of the tasks, the last log lines and the actions taken. Passwords, tokens and
    keys are redacted, also in URLs and environment variables. It takes the window and a few
    seconds, also while the event loop is stuck. Parts that could not be collected are listed.

    Exit status: 0 if it was written, whatever the findings.
    """
    destination = _destination(form, file, bundle)
    for path in (destination.file, bundle):
        output_files.check(path, force=force)
    output_files.check_different(destination.file, bundle)
    settings, given = prometheus.resolve(ctx, flags).config, options(ctx)
    prometheus_secrets = (settings.prometheus_password, settings.prometheus_token)
    secrets = redact.values(os.environ, filter(None, prometheus_secrets))
    recorder = Recorder(client(ctx), secrets)
    evidence = gather(recorder, window or WINDOW, called=target.program())
    told = outside.add(settings, evidence, timeout=given.timeout, keep=recorder.keep)
    material = _material(recorder, told)
    texts = _texts(material, secrets)
    text = texts[destination.suffix]
    if destination.file is not None:
        output_files.write(destination.file, text.encode(), force=force)
        say(f"wrote the report to {destination.file}")
    if bundle is not None:
        _bundle(bundle, recorder, material, texts, force=force)
    if destination.on_stdout:
        render.emit(text)
    say(material.diagnosis.headline)
    raise typer.Exit(ExitStatus.OK)


app.command(
    epilog=examples(
        "qcfeed report                        # Markdown on stdout",
        "qcfeed report --file night.html --bundle night.tar.gz",
        "qcfeed report -o html > night.html",
        "qcfeed diagnose --from night.tar.gz  # on another machine, later",
    )
)(prometheus.with_flags(report))


class _Destination(NamedTuple):
    """Where the report goes: ``file``, if any, and stdout. ``suffix`` stands for the format."""

    file: Path | None
    suffix: str
    on_stdout: bool


def _destination(form: str, file: Path | None, bundle: Path | None) -> _Destination:
    """The destination for ``-o FORMAT`` and ``--file FILE``. Raises UsageError if they do not agree."""
    if file is None and Path(form).suffix in _FORMATS.values():  # -o FILE, as in earlier versions
        say(f"note: -o chooses a format; give the file as --file {form}")
        form, file = "", Path(form)
    suffix = _FORMATS.get(form, "") if form or file is None else file.suffix
    if suffix not in _FORMATS.values() or (file is not None and file.suffix != suffix):
        what = f"-o {form}" if form and form not in _FORMATS else str(file)
        raise UsageError(
            f"{what} is neither .md nor .html",
            hint="`qcfeed report -o markdown` or `-o html` prints the report, --file FILE.md or"
            " FILE.html writes it; --bundle writes the .tar.gz",
        )
    return _Destination(file, suffix, file is None and (bool(form) or bundle is None))


def _material(recorder: Recorder, evidence: Evidence) -> Material:
    """The content of the report; parts that the service does not answer in time are left out."""
    collector = Collector(recorder)
    material = Material(
        diagnosis=diagnose(evidence),
        evidence=evidence,
        host=platform.node(),
        version=__version__,
        tasks=collector.part("tasks one by one", routes.TASKS, Tasks, limit=TASKS_LIMIT),
        stacks=collector.part("stacks", routes.STACKS, Stacks),
        log=collector.part("log", routes.LOG, Log, limit=LINES_LIMIT),
        actions=collector.part("audit log", routes.AUDIT, AuditEntries, limit=LINES_LIMIT),
        config=collector.part("configuration", routes.CONFIG, Configuration),
    )
    # Only for the bundle. Last, so that a slow service leaves out these and not the report's parts.
    collector.part("the oldest orphans", routes.ORPHANS, Orphans, limit=TASKS_LIMIT)
    collector.part("all subscribers", routes.SUBSCRIBERS, Subscribers, limit=SUBSCRIBERS_LIMIT)
    collector.part("all tasks", routes.TASKS_SNAPSHOT, SavedSnapshot)
    collector.part("awaited objects", routes.TASKS_BY_OBJECT, TasksByObject)
    collector.part("ended tasks", routes.TASKS_ENDED, TasksEnded)
    collector.part("failures", routes.TASKS_FAILURES, TaskFailures)
    collector.part("memory", routes.MEMORY, MemoryUse)
    collector.part("metrics", routes.METRICS, Metrics)
    material.dropped += collector.skipped()
    return material


def _texts(material: Material, secrets: list[str]) -> dict[str, str]:
    from qcfeed.diagnose.report import html, markdown, sections

    blocks = sections.blocks(material)
    texts = {".md": markdown.render(blocks), ".html": html.render(blocks)}
    return {
        suffix: formats.printable_lines(redact.redact(text, secrets))
        for suffix, text in texts.items()
    }


def _bundle(
    path: Path, recorder: Recorder, material: Material, texts: dict[str, str], *, force: bool
) -> None:
    files = {f"{REPORT_STEM}{suffix}": text.encode() for suffix, text in texts.items()}
    files[f"{stem(DIAGNOSIS)}.json"] = msgspec.json.encode(material.diagnosis)
    files |= recorder.answers
    manifest = Manifest(
        pid=material.diagnosis.pid,
        instance=material.diagnosis.instance,
        taken_at=material.diagnosis.taken_at,
        version=__version__,
        files=[],
        skipped=[*material.diagnosis.skipped, *material.dropped],
    )
    packed = pack(files, manifest)
    output_files.write(path, packed, force=force)
    files_in_it = formats.plural(len(manifest.files), "file")
    say(f"wrote the bundle to {path}: {files_in_it}, {formats.size(len(packed))}")
    for dropped in manifest.skipped:
        say(f"  left out: {formats.printable(dropped)}")
