"""One child process: started so that it cannot outlive us, its messages read, ended by its own handle."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from qcfeed.errors import StartError
from qcfeed.workers import launch

_KEPT_LINES = 20
_MOST_LINE = 8_192
_OUTPUT_TIMEOUT = 1.0
"""Seconds for the rest of the output of a process that has ended."""


class ChildProcess:
    """A running child. ``on_line`` gets each line of its stderr, without the line's end."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        output: asyncio.StreamReader,
        pipe: asyncio.ReadTransport,
        on_line: Callable[[str], None],
    ) -> None:
        self._process = process
        self._output = output
        self._pipe = pipe
        self._on_line = on_line
        self.lines: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
        """The last lines of its stderr."""
        self._reader = asyncio.create_task(self._read(), name=f"output of {process.pid}")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its return code; None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait for its end; its return code. All its output has been read then."""
        status = await self._process.wait()
        # A grandchild may still hold the pipe.
        await asyncio.wait((self._reader,), timeout=_OUTPUT_TIMEOUT)
        self._reader.cancel()
        self._pipe.close()
        return status

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def end(self, timeout: float) -> int:
        """Ask it to end, and kill it after ``timeout`` seconds; its return code."""
        try:
            # A stopped process handles no SIGTERM until it continues.
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            async with asyncio.timeout(timeout):
                return await self.wait()
        except TimeoutError:
            return await self.kill()
        except asyncio.CancelledError:
            self.signal(signal.SIGKILL)
            raise

    async def kill(self) -> int:
        self.signal(signal.SIGKILL)
        return await self.wait()

    async def _read(self) -> None:
        rest = b""
        while piece := await self._output.read(_MOST_LINE):
            *lines, rest = (rest + piece).split(b"\n")
            if len(rest) > _MOST_LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._note(line)
        if rest:
            self._note(rest)

    def _note(self, line: bytes) -> None:
        text = line.decode("utf-8", "backslashreplace").rstrip("\r")
        self.lines.append(text)
        self._on_line(text)


async def start(
    command: Sequence[str], environment: Mapping[str, str], on_line: Callable[[str], None]
) -> ChildProcess:
    """Start ``command`` in a session of its own: a Ctrl-C at the terminal reaches only us. Raises StartError."""
    # A pipe of our own: asyncio's wait() also waits for the end of its pipes, which a grandchild may hold.
    reading, writing = os.pipe()
    output = asyncio.StreamReader()
    try:
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(output), os.fdopen(reading, "rb", 0)
        )
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), *command,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=writing,
                start_new_session=True,
            )  # fmt: skip
        except BaseException:
            pipe.close()
            raise
    except OSError as error:
        raise StartError(f"cannot start a process: {error.strerror}") from error
    finally:
        os.close(writing)
    return ChildProcess(process, output, pipe, on_line)


class Readiness:
    """The socket on which a child reports that it is ready, with systemd's protocol (sd_notify(3))."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(path))

    async def wait(self, message: str = "READY=1") -> None:
        """Wait for the message."""
        loop = asyncio.get_running_loop()
        while message.encode() not in (await loop.sock_recv(self._socket, 4_096)).split(b"\n"):
            pass

    def close(self) -> None:
        self._socket.close()
        self.path.unlink(missing_ok=True)
