"""The control plane's thread: started with an event loop of its own, absent from forked children."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from qcfeed.errors import StartError

logger = logging.getLogger(__name__)

Stop = Callable[[], object]
Ready = concurrent.futures.Future[Stop]

_in_child: set[contextlib.ExitStack] = set()
"""In a forked child: close the sockets of each server. Otherwise a caller could wait for an answer from a
process that has no thread to give one.
"""


@contextlib.contextmanager
def closed_in_children() -> Iterator[contextlib.ExitStack]:
    """A stack that a forked child closes at once, until the block ends here."""
    stack = contextlib.ExitStack()
    _in_child.add(stack)
    try:
        yield stack
    finally:
        _in_child.discard(stack)


def _let_go() -> None:
    while _in_child:
        _in_child.pop().close()


os.register_at_fork(after_in_child=_let_go)


def start(main: Callable[[Ready], Coroutine[Any, Any, None]]) -> Stop:
    """Run ``main`` in a thread; return a function that stops and joins it once it is ready."""
    ready: Ready = concurrent.futures.Future()
    _check_descriptors()

    def run() -> None:
        try:
            # Not asyncio.run: the program may have set another loop policy (uvloop's).
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(main(ready))
        except Exception as error:
            logger.exception("the control plane ended")
            if not ready.done():
                ready.set_exception(error)

    # A daemon, so that a program that ends without closing is not kept alive by it.
    thread = threading.Thread(target=run, name="qcfeed-control", daemon=True)
    thread.start()
    try:
        stop = ready.result()
    except Exception as error:
        thread.join()
        raise StartError(
            f"the control plane could not start: {error}",
            hint="its log has the traceback; please report it",
        ) from error

    def stop_and_join() -> None:
        with contextlib.suppress(RuntimeError):  # its loop ended by itself, which is in the log
            stop()
        thread.join()

    return stop_and_join


def _check_descriptors() -> None:
    """Raise StartError unless an event loop can open its three descriptors, and its listeners one each.

    asyncio leaves a loop that could not open all of them half made, and it prints a traceback when it is freed.
    """
    opened: tuple[int, ...] = ()
    try:
        for _ in range(3):
            opened += os.pipe()
    except OSError as error:
        raise StartError(
            f"the control plane could not start: {error.strerror}",
            hint="raise the limit of open files (`ulimit -n`), or look for what leaks them",
        ) from error
    finally:
        for each in opened:
            os.close(each)
