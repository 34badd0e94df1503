"""``attach``: the task ledger and the control plane for any asyncio program.

The module is not named ``attach``, because importing it would replace the function ``qcfeed.attach``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Self

from qcfeed.attached.startup import Parts
from qcfeed.control import listeners, paths
from qcfeed.diagnostics.code_origin import declare_application
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.errors import InstanceTakenError, NoRunningLoopError
from qcfeed.supported import require_supported_interpreter

if TYPE_CHECKING:
    from qcfeed.metrics.collectors import Collector

log = logging.getLogger(__name__)

_OWN_DIRECTORY = str(Path(__file__).parents[1])

_handles: set[Attached] = set()
"""The handles of this process that are not closed."""
os.register_at_fork(after_in_child=_handles.clear)  # a forked child is not attached


def attach(
    instance: str,
    *,
    socket: Path | str | None = None,
    control_listen: tuple[str, int] | None = None,
    audit_log: Path | str | None = None,
    orphan_grace: float = 0.0,
    spawn_stacks: int = 0,
    through: Collection[str] = (),
    strict: bool = False,
) -> Attached:
    """Make this program answer ``qcfeed --instance INSTANCE status``, ``tasks``, ``orphans`` and so on.

    Call it in the running loop that is to be watched, with one instance name per loop::

        async def main() -> None:
            async with qcfeed.attach("billing", orphan_grace=5):
                await serve()

    It starts the task ledger, the watch on the loop and the control plane, and returns a handle that
    stops them. Tasks that were created before are counted as *untracked*.

    - ``instance``: the name by which the commands find the program. If another program or loop has it,
      this one becomes ``INSTANCE-2`` and so on. A second call in one loop returns the first handle. If
      the earlier loop of this process that had the name is closed, the name passes to this loop.
    - ``socket``: the path of the control plane's Unix socket, instead of the instance's default path.
      Commands then need ``qcfeed --socket PATH``.
    - ``control_listen``: loopback host and port, to serve the control plane over TCP as well, with a
      bearer token.
    - ``audit_log``: the file in which actions are recorded; by default one in the state directory.
    - ``orphan_grace``: seconds that an owner may be gone before its tasks count as orphans.
    - ``spawn_stacks``: how many frames to keep for each spawn, for ``qcfeed tasks show``; 0 for none.
    - ``through``: functions, classes or modules of the program that create tasks for their callers, for
      example ``["myapp.tasks.spawn"]``: the line that calls them is the spawn location.
    - ``strict``: raise StartError if anything does not work, and InstanceTakenError if the name is taken.

    The program must not fail because it is observed. So whatever the machine refuses (a directory, a
    descriptor, a port, a thread) is logged as a warning with what does not work and what to do, and is
    in the handle's ``problems``; with ``strict`` it is raised, and nothing is left running. Mistakes in
    the call are always raised: UnsupportedInterpreterError on a free-threaded Python and on any Python
    but CPython, NoRunningLoopError outside a running loop, ConfigError for an invalid name or address.

    Cost: the call blocks the loop for 5 ms, and for 0.2 s more if it imports aiohttp. After that: the
    cost of the ledger for each task (see ``Ledger``), three threads that mostly sleep, a timer in the
    loop 20 times per second, and in a thread a look at all tasks every 2 s (0.7 us per live task), to find
    leaks, and a snapshot every 10 s (0.8 us per live task).
    """
    require_supported_interpreter()
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise NoRunningLoopError(
            f"attach({instance!r}) was called without a running event loop",
            hint="call it in a coroutine: in main(), or in the application's startup hook",
        ) from None
    paths.instance_name(instance)
    if control_listen is not None:
        listeners.check_loopback(control_listen[0])
    if (earlier := _earlier(instance, loop)) is not None:
        _refuse_twice(instance, strict=strict)
        return earlier
    caller = sys._getframe(1).f_code.co_filename  # noqa: SLF001
    if not caller.startswith(_OWN_DIRECTORY):  # `qcfeed attach PID` calls this function too
        declare_application(caller)
    ledger = Ledger(spawn_stacks=spawn_stacks, through=through)
    parts = Parts(instance, loop, ledger, orphan_grace, strict=strict)
    with contextlib.ExitStack() as undo:
        undo.callback(parts.close)
        parts.start(
            None if socket is None else Path(socket),
            None if audit_log is None else Path(audit_log),
            control_listen,
        )
        undo.pop_all()
    return Attached(parts)


def handle_of(loop: asyncio.AbstractEventLoop) -> Attached | None:
    """The first open handle of a loop; None if it is not attached."""
    return next((each for each in list(_handles) if each.loop is loop), None)


def _earlier(instance: str, loop: asyncio.AbstractEventLoop) -> Attached | None:
    """The handle that this loop has under this name. Those of closed loops are closed."""
    found = None
    # A copy, because closing a handle removes it.
    for handle in list(_handles):
        if handle.requested == instance:
            if handle.loop is loop:
                found = handle
            elif handle.loop.is_closed():
                handle.close()
    return found


def _refuse_twice(instance: str, *, strict: bool) -> None:
    message = f"this loop is attached as {instance} already"
    hint = "close() the handle first, to attach the loop again with other options"
    if strict:
        raise InstanceTakenError(message, hint=hint)
    log.warning("attach: %s; the existing handle is returned; %s", message, hint)


class Attached:
    """The handle that ``attach`` returns. ``close``, or the end of its ``with`` or ``async with`` block,
    detaches the program.

    It need not be closed. The process may end at any time; the next process with that instance name
    replaces the socket.
    """

    def __init__(self, parts: Parts) -> None:
        self.requested = parts.requested
        """The name that ``attach`` was called with."""
        self.instance = parts.instance
        """The name by which the commands find the program."""
        self.problems = parts.problems
        """What does not work, and why; one sentence each."""
        self.loop = parts.loop
        self.ledger = parts.ledger
        self._parts = parts
        _handles.add(self)

    @property
    def socket(self) -> Path | None:
        """The path of the control plane's Unix socket; None if it could not be started."""
        return self._parts.server.socket if self._parts.server else None

    @property
    def port(self) -> int | None:
        """The control plane's loopback port; None without ``control_listen``."""
        return self._parts.server.port if self._parts.server else None

    def collector(self) -> Collector:
        """A collector for a prometheus-client registry: tasks, loop lag and the memory limit.

        ::

            REGISTRY.register(attached.collector())

        Cost: each scrape takes a snapshot (0.5 us per live task) in the thread that collects. If that
        is another thread, as with ``start_http_server``, the loop goes on meanwhile.
        """
        from qcfeed.metrics import program
        from qcfeed.metrics.collectors import Collector

        return Collector(program.ProgramSamples(self.ledger, self._parts.watch).read)

    def stop_answering(self) -> None:
        """Stop only the control plane, from any thread but the loop's, so that ``close`` blocks the loop only
        briefly. Takes up to three seconds if an action is under way."""
        if self._parts.server is not None:
            self._parts.server.stop()

    def close(self) -> None:
        """Stop the control plane, and restore the task factory. The program goes on.

        Call it in the loop's thread, or after the loop has stopped. A second call does nothing.
        It blocks until the control plane's thread has ended: for milliseconds, or for about a second
        if an action is under way, which is then cancelled. ``async with`` does not block the loop
        meanwhile. In a forked child it does not affect the parent.
        """
        _handles.discard(self)
        self._parts.close()
        if not _handles:
            from qcfeed.metrics import memory  # loaded with the control plane, which imports psutil

            memory.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop_answering)
        self.close()
