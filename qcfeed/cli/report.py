"""``qcfeed report``: collects the evidence before a restart, as a document and as a bundle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from qcfeed.cli import output_files, prometheus, target
from qcfeed.cli.context import client, examples, new_app, options, say
from qcfeed.cli.diagnose import outside
from qcfeed.cli.diagnose.gather import gather
from qcfeed.cli.ui import durations, formats, render
from qcfeed.control import redact
from qcfeed.diagnose.report.material import Material
from qcfeed.errors import ExitStatus, UsageError
from qcfeed.observe import incident_report
from qcfeed.observe.bundle import Recorder

WINDOW = 5.0
"""Seconds between the two snapshots, by default."""
_FORMATS = {"": ".md", "markdown": ".md", "html": ".html"}
"""The formats, each with the suffix of its files."""

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
        durations.option(
            text="Time between the two snapshots. Default: 5s.",
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
    material = incident_report.collect(recorder, told)
    texts = incident_report.texts(material, secrets)
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


def _bundle(
    path: Path, recorder: Recorder, material: Material, documents: dict[str, str], *, force: bool
) -> None:
    packed, manifest = incident_report.packed(recorder, material, documents)
    output_files.write(path, packed, force=force)
    files_in_it = formats.plural(len(manifest.files), "file")
    say(f"wrote the bundle to {path}: {files_in_it}, {formats.size(len(packed))}")
    for dropped in manifest.skipped:
        say(f"  left out: {formats.printable(dropped)}")
