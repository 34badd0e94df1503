"""``qcfeed attach``: brings the ledger and the control plane into a program that is already running."""

from __future__ import annotations

import os
from typing import Annotated

import msgspec
import typer

from qcfeed import rfc3339
from qcfeed.cli.context import Format, Output, examples, new_app, options, say
from qcfeed.cli.processes import audited
from qcfeed.cli.ui import durations
from qcfeed.cli.ui.figures import LabelledValue, show_figures
from qcfeed.cli.ui.formats import age, plural
from qcfeed.cli.ui.listing import answered
from qcfeed.control import paths
from qcfeed.errors import AlreadyAttachedError, UsageError
from qcfeed.inject import process, requests
from qcfeed.model.processes import ProcessAttached

COST = (
    "it will import qcfeed in a thread (0.5 s, 30 to 45 MB). Its loop stands still for 5 ms, and for 0.1 to 0.2 s"
    " if it has 50,000 tasks. From then on each new task costs about 1 us more"
)

app = new_app()

Pid = Annotated[int, typer.Argument(metavar="PID", min=1, help="Number of the process.")]


@app.command(
    epilog=examples(
        "qcfeed attach 4711                   # then: qcfeed --instance pid-4711 tasks --by-location",
        "qcfeed attach 4711 --for 10m         # and detach by itself",
        "qcfeed --instance billing attach 4711",
        "qcfeed detach 4711",
    )
)
@answered
def attach(
    ctx: typer.Context,
    pid: Pid,
    seconds: Annotated[
        float | None,
        durations.option(
            "--for",
            text="Detach after this time, for example 10m.",
        ),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Attach a Python program that is already running, without changing or restarting it.

    Every command then works with it by --instance. New tasks have their spawn location; tasks that
    were there before are listed by where they wait. The program must run CPython 3.14 or later, on
    this machine and as this user (or the command as root), with the same minor version as this
    qcfeed's Python.

    Exit status: 0 attached, 2 not a program that can be attached, 3 unreachable, 4 not allowed,
    5 timed out.
    """
    given = options(ctx)
    if given.socket or given.url or given.context:
        raise UsageError(
            "attach takes a process of this machine, not --socket, --url or --context",
            hint=f"`qcfeed attach {pid}`; --instance names the new instance",
        )
    target = process.target(pid)
    _check_unattached(pid)
    say(f"{target}: {COST}")
    instance = paths.instance_name(given.instance or default_name(pid))
    with audited(
        "attach", instance, {"pid": pid, "command": target.command, "for_s": seconds}
    ) as note:
        told = requests.attach(target, instance, seconds=seconds, within=given.timeout)
        note(told)
    answer = ProcessAttached(
        pid=pid,
        instance=told["instance"],
        taken_at=rfc3339.now(),
        python=told["python"],
        command=target.command,
        socket=told["socket"],
        earlier_tasks=told["earlier_tasks"],
        seconds=seconds,
    )
    show_figures(output, _figures(answer), raw=msgspec.json.encode(answer), names=[answer.instance])
    for problem in told["problems"]:
        say(problem)
    own = answer.socket == os.fspath(paths.socket_path(answer.instance))
    how = f"--instance {answer.instance}" if own else f"--socket {answer.socket}"
    say(f"next: `qcfeed {how} tasks --by-location`; `qcfeed detach {pid}` ends it")


def default_name(pid: int) -> str:
    """The instance name of a process that was given none."""
    return f"pid-{pid}"


def _check_unattached(pid: int) -> None:
    for each in paths.running_instances():
        if each.pid == pid:
            raise AlreadyAttachedError(
                f"process {pid} has qcfeed in it already, as instance {each.name}",
                hint=f"`qcfeed --instance {each.name} status` asks it; `qcfeed detach {pid}` ends what"
                " `qcfeed attach` began",
            )


def _figures(answer: ProcessAttached) -> list[LabelledValue]:
    lasting = "until it is detached" if answer.seconds is None else f"for {age(answer.seconds)}"
    return [
        LabelledValue("attached", f"{answer.instance}, pid {answer.pid}, {lasting}"),
        LabelledValue("program", f"{answer.command} (Python {answer.python})"),
        LabelledValue("earlier tasks", plural(answer.earlier_tasks, "task")),
        LabelledValue("control", answer.socket),
    ]
