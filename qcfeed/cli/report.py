"""``qcfeed report``: the evidence before the restart, in one go: a document, and a bundle."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from qcfeed import __version__
from qcfeed.cli import prometheus, saved_files
from qcfeed.cli.bundle import DIAGNOSIS, Manifest, Recorder, pack, stem
from qcfeed.cli.context import client, examples, new_app, options, say
from qcfeed.cli.diagnose import outside
from qcfeed.cli.diagnose.gather import Look, command, gather
from qcfeed.cli.flags import with_flags
from qcfeed.cli.ui import durations, formats, render
from qcfeed.control import redact, routes
from qcfeed.diagnose.evidence import Evidence
from qcfeed.diagnose.report.material import Material
from qcfeed.diagnose.verdict import diagnose
from qcfeed.errors import ExitStatus, UsageError
from qcfeed.model.answers import Tasks
from qcfeed.model.ended_tasks import TaskFailures, TasksEnded
from qcfeed.model.report import Actions, Configuration, Log, Metrics
from qcfeed.model.saved_tasks import Snapshot
from qcfeed.model.stacks import Stacks

WINDOW = 5.0
TASKS = 1_000
LINES = 1_000
SUFFIXES = (".md", ".html")
BUNDLED = "report"

app = new_app()


def report(
    ctx: typer.Context,
    target: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write it here: FILE.md, or FILE.html with plots.",
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keep every answer, stack, metric and setting here too (tar.gz), for --from.",
        ),
    ] = None,
    window: Annotated[
        float | None,
        typer.Option(
            parser=durations.parse, metavar="DURATION", help="Time between the two looks (5s)."
        ),
    ] = None,
    **flags: Any,
) -> None:
    """Keep the evidence, before a restart destroys it: an incident report, and a bundle of all answers.

    The report has the alert's details, the timeline, growth by location, subscriptions, staleness,
    a task dump, the log's last lines, the findings and the actions taken. Secrets (passwords,
    tokens, keys, those of URLs and of the environment) are redacted. It takes the window and a few
    seconds, also while the loop is stuck; what could not be had is named in it.

    Exit status: 0 when it is written, whatever it says.
    """
    if target is not None and target.suffix not in SUFFIXES:
        raise UsageError(
            f"{target} is neither .md nor .html",
            hint="the suffix says what to write; --bundle takes the .tar.gz",
        )
    named, given = prometheus.chosen(ctx, flags).config, options(ctx)
    further = (named.prometheus_password, named.prometheus_token)
    secrets = redact.values(os.environ, filter(None, further))
    asked = Recorder(client(ctx), secrets)
    seen = gather(asked, window or WINDOW, called=command(given))
    material = _material(asked, outside.add(named, seen, timeout=given.timeout))
    texts = _texts(material, secrets)
    if target is not None:
        saved_files.write(target, texts[target.suffix].encode())
        say(f"report in {target}")
    if bundle is not None:
        _bundle(bundle, asked, material, texts)
    if target is None and bundle is None:
        render.emit(texts[".md"])
    say(material.diagnosis.headline)
    raise typer.Exit(ExitStatus.OK)


app.command(
    epilog=examples(
        "qcfeed report                        # Markdown on stdout",
        "qcfeed report -o night.html --bundle night.tar.gz",
        "qcfeed diagnose --from night.tar.gz  # on another machine, later",
    )
)(with_flags(report, prometheus.declared()))


def _material(asked: Recorder, seen: Evidence) -> Material:
    """Everything that is told, each part only if it is to be had in time."""
    look = Look(asked)
    found = Material(
        diagnosis=diagnose(seen),
        evidence=seen,
        host=platform.node(),
        version=__version__,
        tasks=look.part("tasks one by one", routes.TASKS, Tasks, limit=TASKS),
        stacks=look.part("stacks", routes.STACKS, Stacks),
        log=look.part("log", routes.LOG, Log, limit=LINES),
        actions=look.part("audit log", routes.AUDIT, Actions, limit=LINES),
        config=look.part("configuration", routes.CONFIG, Configuration),
    )
    # For the bundle alone: asked for last, so that they are what a slow service leaves out.
    look.part("all of the tasks", routes.TASKS_SNAPSHOT, Snapshot)
    look.part("ended tasks", routes.TASKS_ENDED, TasksEnded)
    look.part("failures", routes.TASKS_FAILURES, TaskFailures)
    look.part("metrics", routes.METRICS, Metrics)
    found.dropped += look.all_untold()
    return found


def _texts(material: Material, secrets: list[str]) -> dict[str, str]:
    from qcfeed.diagnose.report import html, markdown, sections

    blocks = sections.blocks(material)
    texts = {".md": markdown.render(blocks), ".html": html.render(blocks)}
    return {suffix: redact.redact(text, secrets) for suffix, text in texts.items()}


def _bundle(path: Path, asked: Recorder, material: Material, texts: dict[str, str]) -> None:
    files = {f"{BUNDLED}{suffix}": text.encode() for suffix, text in texts.items()}
    files[f"{stem(DIAGNOSIS)}.json"] = msgspec.json.encode(material.diagnosis)
    files |= asked.answers
    manifest = Manifest(
        pid=material.diagnosis.pid,
        instance=material.diagnosis.instance,
        taken_at=material.diagnosis.taken_at,
        version=__version__,
        files=[],
        skipped=[*material.diagnosis.skipped, *material.dropped],
    )
    packed = pack(files, manifest)
    saved_files.write(path, packed)
    say(
        f"bundle in {path}: {formats.plural(len(manifest.files), 'file')}, {formats.size(len(packed))}"
    )
    for what in manifest.skipped:
        say(f"  not in it: {formats.printable(what)}")
