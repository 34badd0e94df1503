"""``qcfeed version``: the version of this program, and of the service."""

from __future__ import annotations

import platform

import msgspec
import typer

from qcfeed import __version__
from qcfeed.cli.context import Format, Output, ask, examples, new_app, options, say
from qcfeed.cli.ui.figures import LabelledValue, show_figures
from qcfeed.cli.ui.listing import answered
from qcfeed.control.routes import PROCESS, STATUS
from qcfeed.errors import NotFoundError, QcfeedError
from qcfeed.model.status import ProgramStatus, ServiceStatus

app = new_app()


class Version(msgspec.Struct, kw_only=True, tag_field="schema", tag="qcfeed.version/1"):
    """The versions. ``service``: null if none answers, with the ``reason``."""

    version: str
    python: str
    instance: str | None = None
    service: str | None = None
    reason: str | None = None


def version(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """Show the version of this program, and of the service.

    Exit status: 0, also without a service; if one is named, that of the failure to ask it.
    """
    found = Version(version=__version__, python=platform.python_version())
    failure = None
    try:
        found.instance, found.service = _service(ctx)
    except QcfeedError as error:
        failure, found.reason = error, error.message
    figures = [
        LabelledValue("qcfeed", f"{found.version}, Python {found.python}"),
        LabelledValue(
            "service", f"{found.service}, instance {found.instance}" if found.service else "-"
        ),
    ]
    show_figures(output, figures, raw=msgspec.json.encode(found), names=[found.version])
    if failure is not None and options(ctx).name_a_service:
        raise failure
    if found.reason:
        say(f"no service: {found.reason}")
    elif found.service not in (None, found.version):
        say("the versions differ: an answer may not be understood")


def _service(ctx: typer.Context) -> tuple[str, str]:
    """The name and version of the service; of an attached program, its Python."""
    try:
        status, _ = ask(ctx, STATUS, ServiceStatus)
    except NotFoundError:
        program, _ = ask(ctx, PROCESS, ProgramStatus)
        return program.instance, f"attached program, Python {program.python}"
    return status.instance, status.version


app.command(
    epilog=examples("qcfeed version", "qcfeed version -o json", "qcfeed version --jq .service")
)(answered(version))
