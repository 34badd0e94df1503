"""``qcfeed runbook run``: goes through a runbook on a real service, step by step, and keeps a transcript."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from qcfeed import runbook_commands
from qcfeed.cli import output_files, target
from qcfeed.cli.context import say
from qcfeed.cli.ui.confirm import agreed, can_ask
from qcfeed.cli.ui.render import emit
from qcfeed.control import peers
from qcfeed.errors import ExitStatus, NeedsConfirmationError, UsageError
from qcfeed.formats import plural, printable_lines
from qcfeed.runbook_pages import Step, acts, difference, steps

if TYPE_CHECKING:
    from qcfeed.cli.runbook import Page

LONGEST_S = 600
"""Seconds after which a command of a page is ended: it waits for something that does not come."""

NO_ANSWER = (
    ExitStatus.UNREACHABLE,
    ExitStatus.NOT_ALLOWED,
    ExitStatus.TIMED_OUT,
    ExitStatus.BUG,
)
"""Exit statuses of a command that could not look."""


class StepResult(StrEnum):
    """How a step went. ``DIFFERS``: the output is not what the page shows. ``UNKNOWN``: the command got no
    answer, so it cannot be told."""

    AS_SHOWN = "as the page shows"
    DIFFERS = "not as the page shows"
    SKIPPED = "skipped"
    UNKNOWN = "no answer"


class Done(NamedTuple):
    """A step that is over. ``output``: stdout and stderr together; ``status``: None if it did not run."""

    step: Step
    command: str
    at: datetime
    result: StepResult
    output: str = ""
    status: int | None = None


def go_through(
    page: Page, *, yes: bool, read_only: bool, transcript: Path | None, force: bool
) -> None:
    """Run the commands of ``page``: those that act after a question, with ``yes``, or not at all.

    Writes the transcript also if it is interrupted. Raises UsageError, NeedsConfirmationError before anything
    is done, and typer.Exit if a command shows something else than the page.
    """
    if yes and read_only:
        raise UsageError("--yes runs the commands that act and --read-only skips them: give one")
    todo = steps(page.text)
    if not todo:
        raise UsageError(
            f"{page.name} has no commands to run", hint=f"`qcfeed runbook {page.name}`"
        )
    if not (yes or read_only or can_ask()) and any(acts(step.command) for step in todo):
        raise NeedsConfirmationError(
            f"{page.name} has commands that act, and there is no terminal to ask on",
            hint="nothing was done; --read-only skips them, --yes runs them",
        )
    began = datetime.now(UTC)
    file = transcript or Path(f"{page.name}-{began:%Y%m%dT%H%M%SZ}.md")
    output_files.check(file, force=force)
    done: list[Done] = []
    try:
        for number, step in enumerate(todo, 1):
            _announce(number, len(todo), step)
            done.append(_carry_out(step, yes=yes, read_only=read_only))
            say(_outcome(done[-1]))
            if done[-1].result is StepResult.UNKNOWN:
                break  # nothing is done to a service that cannot be seen
    finally:
        left = len(todo) - len(done)
        text = _transcript(page.title, began, done, left)
        output_files.write(file, text.encode(), force=force)
        say(f"transcript: {file}")
    differing = sum(each.result is StepResult.DIFFERS for each in done)
    say(f"{plural(len(done), 'step')}, {differing} not as the page shows")
    if done[-1].result is StepResult.UNKNOWN:
        say(f"stopped: {done[-1].command} got no answer; the steps behind it did not run")
        raise typer.Exit(done[-1].status or ExitStatus.TIMED_OUT)
    if differing:
        raise typer.Exit(ExitStatus.FINDINGS)


def _announce(number: int, total: int, step: Step) -> None:
    say(f"\n--- step {number} of {total}: {step.section}")
    if step.prose:
        say(step.prose)


def _carry_out(step: Step, *, yes: bool, read_only: bool) -> Done:
    command = target.addressed(step.command) or step.command
    say(f"$ {command}")
    at = datetime.now(UTC)
    if acts(step.command) and (
        read_only or not (yes or agreed("this may change something; run it"))
    ):
        return Done(step, command, at, StepResult.SKIPPED)
    ran = runbook_commands.run(command, timeout=LONGEST_S)
    emit(printable_lines(ran.output.rstrip("\n")))
    return Done(step, command, at, _result(step, ran), ran.output, ran.status)


def _result(step: Step, ran: runbook_commands.CommandResult) -> StepResult:
    if difference(step.expected, ran.output) is None:
        return StepResult.AS_SHOWN
    return (
        StepResult.UNKNOWN if ran.status is None or ran.status in NO_ANSWER else StepResult.DIFFERS
    )


def _outcome(done: Done) -> str:
    if done.result is not StepResult.DIFFERS:
        return f"=> {done.result}"
    shown = "\n".join(f"   {line}" for line in done.step.expected.rstrip("\n").splitlines())
    return f"=> {done.result}, which is:\n{shown}"


def _transcript(title: str, began: datetime, done: list[Done], left: int) -> str:
    lines = [
        f"# {title}: transcript",
        "",
        f"Began {began:%Y-%m-%d %H:%M:%S} UTC, by {peers.me().user} on {socket.gethostname()}.",
    ]
    for each in done:
        status = "" if each.status is None else f", exit status {each.status}"
        lines += ["", f"## {each.at:%H:%M:%S} {each.step.section}: {each.result}{status}", ""]
        lines += [f"    {line}" for line in [f"$ {each.command}", *each.output.splitlines()]]
    if left:
        lines += ["", f"It was stopped; {plural(left, 'step')} did not run."]
    return printable_lines("\n".join(lines)) + "\n"
