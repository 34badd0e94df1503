"""``qcfeed workers``: the processes of ``serve --workers``, with their figures; restarts them one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from qcfeed.cli.context import ACTION_GRACE, Format, Output, client, examples, new_app, say
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.listing import listed
from qcfeed.cli.ui.render import show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import WORKERS, WORKERS_RESTART
from qcfeed.errors import NotFoundError, not_found
from qcfeed.model.workers import RestartedWorkers, RestartWorkersRequest, Worker, Workers

app = new_app()

_STATE_COLOURS = {"ready": None, "stopping": "yellow"}
RESTART_TIMEOUT = 60.0


def _of_status(name: str) -> Any:
    return lambda worker: None if worker.status is None else getattr(worker.status, name)


def _resident(worker: Worker) -> int | None:
    return None if worker.status is None else worker.status.memory.resident_bytes


WORKER_TABLE: Table[Worker] = Table(
    (
        Column("name", header="INSTANCE"),
        Column("role"),
        Column("state", colour=lambda w: _STATE_COLOURS.get(w.state, "red")),
        Column("process", header="PID", right=True, rank=3),
        Column("up_s", header="UP", show=formats.age, right=True, rank=4),
        Column("restarts", right=True, rank=1),
        Column("connections", _of_status("connections"), formats.count, right=True),
        Column("feeds", _of_status("feed_count"), formats.count, right=True),
        Column("subscriptions", _of_status("subscriptions"), formats.count, right=True, rank=2),
        Column("memory", _resident, formats.size, right=True, rank=2),
        Column("loop_lag_ms", _of_status("loop_lag_ms"), formats.milliseconds, "LAG", right=True),
        Column("problem", wide=True),
    ),
    identity=lambda worker: worker.name,
)


def workers(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """List the processes of serve --workers, or restart them one by one.

    Other commands take the instance of one process: `qcfeed --instance 8006-1 tasks`.

    Exit status: 1 if a process is not ready or does not answer, else 0.
    """
    if ctx.invoked_subcommand is None:
        answer, raw = _asked(ctx)
        show_workers(answer, raw, output)
        from qcfeed.cli.status import report

        report(problems(answer))


app.callback(
    invoke_without_command=True,
    subcommand_metavar="[COMMAND]",
    epilog=examples("qcfeed workers", "qcfeed workers --watch", "qcfeed workers restart"),
)(listed(workers, "state"))


@app.command(epilog=examples("qcfeed workers restart", "qcfeed workers restart 8006-2"))
def restart(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="INSTANCE...", help="Workers to restart.")
    ] = None,
) -> None:
    """Restart workers one after the other, all gateways and then the feeder by default.

    While one gateway drains, it tells its clients to reconnect at different times, and the others accept
    them. The feeder ends once its successor stands by. Stops at the first worker that does not become
    ready again.

    Exit status: 0 when all are ready again; 3 if one is not.
    """
    named = names or []
    workers = {worker.name: worker for worker in _asked(ctx)[0].workers}
    if missing := [name for name in named if name not in workers]:
        raise not_found("worker", *missing, hint="`qcfeed workers` lists them", known=workers)
    count = len(named) or sum(worker.role != "nats" for worker in workers.values())
    request = RestartWorkersRequest(names=named, timeout_s=RESTART_TIMEOUT * max(1, count))
    control = client(ctx, longer=request.timeout_s + ACTION_GRACE)
    answer = control.post(WORKERS_RESTART, request, RestartedWorkers)
    say(f"restarted {', '.join(answer.restarted)}")


def _asked(ctx: typer.Context) -> tuple[Workers, bytes]:
    """The workers. Raises NotFoundError if the process that answers is not their supervisor."""
    if (found := group_of(ctx)) is None:
        raise NotFoundError(
            "this service has no workers: it was not started with `qcfeed serve --workers N`",
            hint="`qcfeed status` shows it; -i names a whole service, not one of its workers",
        )
    return found


def show_workers(answer: Workers, raw: bytes, output: Format) -> None:
    """Print the workers in the format asked for."""
    if output in (Format.TABLE, Format.WIDE):
        say(
            f"{answer.instance}, pid {answer.pid}, qcfeed {answer.version}, {answer.state}:"
            f" {answer.upstream} on {answer.websocket}, up {formats.age(answer.uptime_s)}"
        )
    show(output, WORKER_TABLE, answer.workers, raw=raw)


def group_of(ctx: typer.Context) -> tuple[Workers, bytes] | None:
    """The workers of the service that the options name; None if it has none."""
    control = client(ctx)  # outside: a context that does not exist is another matter
    try:
        raw = control.fetch(WORKERS)
    except NotFoundError:
        return None
    return control.decode(raw, Workers), raw


def problems(answer: Workers) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What is wrong with the processes themselves, each with the command to type next."""
    for worker in answer.workers:
        if worker.state not in ("ready", "stopping"):
            why = f": {worker.problem}" if worker.problem else ""
            # The control plane of a worker answers while its event loop is stuck.
            asks = worker.state == "stuck" and worker.status is not None
            yield (
                f"{worker.name} is {worker.state}{why}",
                (
                    f"`qcfeed --instance {worker.name} stacks`"
                    if asks
                    else "the log of `qcfeed serve` says more",
                ),
            )
        elif worker.role != "nats" and worker.status is None:
            yield (
                f"{worker.name} does not answer: {worker.problem}",
                (f"`qcfeed --instance {worker.name} stacks`",),
            )
