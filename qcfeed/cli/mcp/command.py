"""``qcfeed mcp``: serves the commands as tools for an agent, over stdin and stdout."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from qcfeed.cli import prometheus, target
from qcfeed.cli.context import ACTION_GRACE, client, examples, new_app, options, say
from qcfeed.cli.diagnose import outside
from qcfeed.cli.diagnose.gather import gather
from qcfeed.control.client import ControlClient
from qcfeed.control.routes import REDACTED
from qcfeed.diagnose.verdict import diagnose
from qcfeed.errors import UsageError
from qcfeed.model.diagnosis import Diagnosis

PROGRAM = "qcfeed-mcp"
"""The name of the caller in the audit log, followed by the plan's id."""

app = new_app()


def mcp(
    ctx: typer.Context,
    allow_actions: Annotated[
        bool,
        typer.Option(
            "--allow-actions",
            help="Also offer tools that act; each needs a plan that is confirmed by its id.",
        ),
    ] = False,
    **flags: Any,
) -> None:
    """Serve the commands as tools for an agent (Model Context Protocol).

    The agent's program starts this command and speaks with it over stdin and stdout. Without --allow-actions the tools only read. Secrets are removed from every answer. An action is
    a plan first, which the agent must show and confirm by its id; the audit log names the plan.

    Needs the extra: pip install 'qcfeed\\[mcp]'.

    Exit status: 0 when the client has closed the connection.
    """
    try:
        from qcfeed.cli.mcp import server
    except ImportError as error:
        raise UsageError(
            f"the MCP SDK is not installed: {error}", hint="`pip install 'qcfeed[mcp]'`"
        ) from error
    from qcfeed.cli.mcp.actions import Planner
    from qcfeed.cli.mcp.plans import Plans
    from qcfeed.cli.mcp.reads import read_tools

    settings, given = prometheus.resolve(ctx, flags).config, options(ctx)
    reading = _Redacting.like(client(ctx), PROGRAM)

    def make_diagnosis(window: float) -> Diagnosis:
        evidence = gather(reading, window, called=target.program())
        return diagnose(outside.add(settings, evidence, timeout=given.timeout))

    def acting(plan_id: str) -> ControlClient:
        longer = reading.timeout + ACTION_GRACE
        return ControlClient(reading.address, timeout=longer, program=f"{PROGRAM}/{plan_id}")

    tools = [*read_tools(reading, make_diagnosis)]
    if allow_actions:
        tools += Planner(reading, acting, Plans(time.monotonic)).tools()
    if sys.stdin.isatty():
        say("this command speaks with an agent, not with a person; Ctrl-D ends it")
    server.serve(server.build(tools))


app.command(
    epilog=examples(
        "qcfeed mcp                           # read-only tools",
        "qcfeed --instance 8006 mcp --allow-actions",
    )
)(prometheus.with_flags(mcp))


class _Redacting(ControlClient):
    """A client whose answers have no secrets in them, because they leave this machine."""

    @classmethod
    def like(cls, other: ControlClient, program: str) -> _Redacting:
        return cls(other.address, timeout=other.timeout, program=program)

    def fetch(self, path: str, **params: Any) -> bytes:
        return super().fetch(path, **params, **{REDACTED: 1})
