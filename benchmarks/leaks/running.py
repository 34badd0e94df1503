"""A program of the benchmark as a process, and the environments of those that need a real library."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from benchmarks.leaks.catalog import Program
from benchmarks.leaks.program import STARTED

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".venv-leaks"
TOOL_PACKAGES = ("aiomonitor", "pyleak")
START_PATIENCE = 180.0

_MAKING = threading.Lock()


class NotAvailableError(Exception):
    """A tool, a package or an interpreter is missing; the message says which."""


@dataclasses.dataclass
class Running:
    """A started program. ``began`` is the time, on the monotonic clock, at which its leak began."""

    process: asyncio.subprocess.Process
    python: Path
    instance: str
    environment: dict[str, str]
    first_lines: list[str]
    began: float

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    async def lines(self) -> AsyncIterator[str]:
        """What it prints, until it ends."""
        assert self.process.stdout
        async for line in self.process.stdout:
            yield line.decode().rstrip()
        await self.process.wait()

    async def ends(self, within: float) -> bool:
        """Does it end within so many seconds?"""
        try:
            await asyncio.wait_for(self.process.wait(), within)
        except TimeoutError:
            return False
        return True


@contextlib.asynccontextmanager
async def running(
    program: Program, tool: str, python: Path, seconds: float, rate: float
) -> AsyncIterator[Running]:
    """Start a program with a tool in it; yields when its leak begins, and ends it with the block."""
    with tempfile.TemporaryDirectory(prefix="leaks") as home:
        homes = dict.fromkeys(("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME"), home)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("QCFEED_")}
        environment = kept | homes | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
        # The name that qcfeed knows it by is short: the path of a Unix socket is limited to 108 bytes.
        command = [str(python), "-m", "benchmarks.leaks.launch", program.name, "--tool", tool]
        options = ["--instance", "leak", "--seconds", str(seconds), "--rate", str(rate)]
        process = await asyncio.create_subprocess_exec(
            *command, *options, env=environment, cwd=ROOT, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, limit=2**24,
        )  # fmt: skip
        complaints = asyncio.create_task(_read(process.stderr))
        try:
            first: list[str] = []
            with contextlib.suppress(TimeoutError):
                first = await asyncio.wait_for(_until_started(process), START_PATIENCE)
            if STARTED not in first:
                if process.returncode is None:
                    process.kill()
                raise NotAvailableError(f"it did not start: {_last_line(await complaints)}")
            began = time.monotonic()
            yield Running(process, python, "leak", environment, first[:-1], began)
            if process.returncode:
                status = process.returncode
                raise NotAvailableError(
                    f"it failed, exit status {status}: {_last_line(await complaints)}"
                )
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await complaints


async def _until_started(process: asyncio.subprocess.Process) -> list[str]:
    assert process.stdout
    lines = []
    async for line in process.stdout:
        lines.append(line.decode().rstrip())
        if lines[-1] == STARTED:
            break
    return lines


def _last_line(text: str) -> str:
    return "".join(text.splitlines()[-1:])


async def _read(stream: asyncio.StreamReader | None) -> str:
    assert stream
    return (await stream.read()).decode(errors="replace")


async def output(
    command: Sequence[str | Path], environment: dict[str, str]
) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command."""
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def environment_of(program: Program, python: Path) -> Path:
    """An interpreter that has what the program needs: ``python`` itself, or one of an own environment."""
    if not program.packages:
        return python
    with _MAKING:
        return _made(program, python)


def _made(program: Program, python: Path) -> Path:
    version = subprocess.run(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    folder = ENVIRONMENTS / f"{program.name}-{version}"
    interpreter, stamp = folder / "bin" / "python", folder / "packages"
    wanted = " ".join((*program.packages, *TOOL_PACKAGES))
    if stamp.exists() and stamp.read_text() == wanted:
        return interpreter
    pip = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (
        [str(python), "-m", "venv", "--clear", str(folder)],
        [*pip, "--editable", str(ROOT), *wanted.split()],
    ):
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode:
            raise NotAvailableError(f"cannot install {wanted}: {_last_line(made.stderr)}")
    stamp.write_text(wanted)
    return interpreter


def packages_of(interpreter: Path) -> Path:
    """The folder of the packages that are installed in an environment."""
    return next(interpreter.parents[1].glob("lib/python*/site-packages"))


def default_python() -> Path:
    return Path(sys.executable)
