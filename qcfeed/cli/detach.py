"""``qcfeed detach``: ends what ``qcfeed attach`` began."""

from __future__ import annotations

import msgspec
import typer

from qcfeed import rfc3339
from qcfeed.cli.attach import Pid, default_name
from qcfeed.cli.context import Format, Output, examples, new_app, options, say
from qcfeed.cli.processes import audited
from qcfeed.cli.ui.figures import LabelledValue, show_figures
from qcfeed.cli.ui.listing import answered
from qcfeed.control import paths
from qcfeed.errors import ExitStatus
from qcfeed.inject import process, requests
from qcfeed.model.processes import ProcessDetached

app = new_app()


@app.command(epilog=examples("qcfeed detach 4711"))
@answered
def detach(ctx: typer.Context, pid: Pid, output: Output = Format.TABLE) -> None:
    """End what attach began, and leave the program as it was.

    The task factory is restored; threads, sockets and handlers are gone. The modules of qcfeed stay
    in memory, unused.

    Exit status: 0 detached, 1 something is left, 2 it was not attached, 3 unreachable, 4 not
    allowed, 5 timed out.
    """
    target = process.target(pid)
    with audited("detach", _instance(pid), {"pid": pid, "command": target.command}) as note:
        told = requests.detach(target, options(ctx).timeout)
        note(told)
    answer = ProcessDetached(
        pid=pid,
        instance=told["instance"],
        taken_at=rfc3339.now(),
        command=target.command,
        left=told["left"],
    )
    figures = [
        LabelledValue("detached", f"{answer.instance}, pid {pid}"),
        LabelledValue(
            "left behind", ", ".join(answer.left) or "nothing", "red" if answer.left else None
        ),
    ]
    show_figures(output, figures, raw=msgspec.json.encode(answer), names=[answer.instance])
    if answer.left:
        say("the program goes on; the next `qcfeed attach` and `detach` may find it sound")
        raise typer.Exit(ExitStatus.FINDINGS)


def _instance(pid: int) -> str:
    """The name under which the process answers; the default name if it does not."""
    running = (each.name for each in paths.running_instances() if each.pid == pid)
    return next(running, default_name(pid))
