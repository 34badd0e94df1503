"""``qcfeed memory --pid``: attaches a program, lets its memory be read, and detaches it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import typer

from qcfeed.cli.attach import COST, default_name
from qcfeed.cli.context import options, say
from qcfeed.cli.processes import audited
from qcfeed.control import paths
from qcfeed.control.client import ControlClient
from qcfeed.control.paths import ControlAddress
from qcfeed.inject import process, requests

LEASE_S = 60.0
"""Seconds after which the program detaches itself if this command is killed."""


@contextlib.contextmanager
def attached(ctx: typer.Context, pid: int, *, longer: float = 0.0) -> Iterator[ControlClient]:
    """A client of the process, which is attached for this block, and ``longer`` seconds if need be.

    A process that has qcfeed in it already is asked as it is. Raises what process.target and
    requests.attach do.
    """
    within = options(ctx).timeout
    for each in paths.running_instances():
        if each.pid == pid:
            yield ControlClient(ControlAddress(socket=each.socket), timeout=within)
            return
    target = process.target(pid)
    say(f"{target}: {COST}. It is detached afterwards; the modules stay in its memory")
    instance, seconds = default_name(pid), LEASE_S + longer
    request = {"pid": pid, "command": target.command}
    with audited("attach", instance, {**request, "for_s": seconds}) as note:
        answer = requests.attach(target, instance, seconds=seconds, within=within)
        note(answer)
    try:
        yield ControlClient(ControlAddress(socket=Path(answer["socket"])), timeout=within)
    finally:
        with audited("detach", instance, request) as note:
            detached = requests.detach(target, within)
            note(detached)
        if detached["left"]:
            say(f"left behind in process {pid}: {', '.join(detached['left'])}")
