"""The Python interpreter in another process, and how it is asked to run a script.

This is the protocol that CPython documents under "Remote debugging attachment protocol" (PEP 768). This
module implements it instead of calling ``sys.remote_exec``, which requires the same minor version in both
processes (docs/adr/0030-attach-to-a-running-process.md). Nothing is written until the cookie, the version, the
sizes and the id of the main thread are as expected.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from qcfeed.inject import elf

COOKIE = b"xdebugpy"
"""The first bytes of every interpreter's runtime state from Python 3.13 on."""
_FINAL = 0xF
"""The release level of a final version; others may be laid out in another way."""
_PLEASE_STOP = 1 << 5
"""The bit of the eval breaker that makes a thread check for a pending script."""
_MAX_INTERPRETERS = _MAX_THREADS = 1_000
_MAX_PATH = 512


class _Layout(NamedTuple):
    """Where fields are in the interpreter's table of offsets, as numbers of 64-bit words. The table stays
    the same within a minor version."""

    native_thread_id: int
    debugger_support: int


_LAYOUTS = {(3, 14): _Layout(28, 89), (3, 15): _Layout(31, 105)}
# Fields of CPython's _Py_DebugOffsets (Include/internal/pycore_debug_offsets.h), as numbers of 64-bit words.
_INTERPRETERS_HEAD = 5
_INTERPRETER_SIZE, _INTERPRETER_ID, _INTERPRETER_NEXT = 6, 7, 8
_THREADS_HEAD, _MAIN_THREAD = 9, 10
_THREAD_SIZE, _THREAD_NEXT = 22, 24
_SUPPORT_WORDS = 6

KNOWN = tuple(_LAYOUTS)
"""The versions that can be asked to run a script."""


class UnknownLayoutError(Exception):
    """The interpreter's memory is not as expected; nothing was written."""


class DisabledError(Exception):
    """The program was started with remote debugging switched off."""


class Runtime:
    """The interpreter of process ``pid``. ``version``: as (3, 14)."""

    def __init__(self, pid: int, address: int) -> None:
        self.pid = pid
        self._address = address
        with _memory(pid) as memory:
            word, free_threaded = struct.unpack("<2Q", _read(memory, address + 8, 16))
        self.version = (word >> 24 & 0xFF, word >> 16 & 0xFF)
        self.is_final = (word >> 4 & 0xF) == _FINAL
        self.is_free_threaded = bool(free_threaded)

    def threads(self) -> list[int]:
        """The native ids of the threads of the main interpreter, the main thread first. Raises what
        ``request`` does."""
        with _memory(self.pid) as memory:
            words = self._words(memory)
            found = list(self._threads(memory, words, self._main_interpreter(memory, words)))
        return sorted(found, key=lambda native: native != self.pid)

    def request(self, script: str, thread: int | None = None) -> None:
        """Ask a thread, by default the main thread, to run the file ``script`` when it next can.

        A second request replaces one that was not yet carried out. The thread should be stopped
        meanwhile (tracing.py). Raises DisabledError if the program forbids it, UnknownLayoutError if its memory
        is not as expected, and OSError if it cannot be read or written.
        """
        path = os.fsencode(script) + b"\0"
        with _memory(self.pid) as memory:
            words = self._words(memory)
            breaker, support, enabled, pending, script_path, size = self._support(words)
            if len(path) > size:
                raise UnknownLayoutError(f"the script's path has more than {size} bytes: {script}")
            interpreter = self._main_interpreter(memory, words)
            if not struct.unpack("<i", _read(memory, interpreter + enabled, 4))[0]:
                raise DisabledError
            threads = self._threads(memory, words, interpreter)
            state = threads.get(self.pid if thread is None else thread)
            if state is None:
                raise UnknownLayoutError(f"it has no Python thread {thread or self.pid} any more")
            # In the order of the protocol: the thread reads the path once it sees the flag, and the flag
            # once it sees the bit.
            _write(memory, state + support + script_path, path)
            _write(memory, state + support + pending, struct.pack("<i", 1))
            # Only the byte with the bit: the other bytes hold the version of the instrumentation, which
            # the interpreter may change at any time.
            [events] = _read(memory, state + breaker, 1)
            _write(memory, state + breaker, bytes([events | _PLEASE_STOP]))

    def _words(self, memory: int) -> tuple[int, ...]:
        if self.version not in _LAYOUTS:
            raise UnknownLayoutError(f"Python {self.version[0]}.{self.version[1]} is not known")
        number = _LAYOUTS[self.version].debugger_support + _SUPPORT_WORDS
        return struct.unpack(f"<{number}Q", _read(memory, self._address, 8 * number))

    def _support(self, words: tuple[int, ...]) -> tuple[int, int, int, int, int, int]:
        """The six offsets of the debugger's support, checked."""
        found = words[_LAYOUTS[self.version].debugger_support :]
        breaker, support, enabled, pending, script_path, size = found
        fits = (
            breaker < words[_THREAD_SIZE]
            and support + script_path + size <= words[_THREAD_SIZE]
            and enabled < words[_INTERPRETER_SIZE]
            and pending < script_path
            and size == _MAX_PATH
        )
        if not fits:
            raise UnknownLayoutError("the table of offsets is not as expected")
        return breaker, support, enabled, pending, script_path, size

    def _main_interpreter(self, memory: int, words: tuple[int, ...]) -> int:
        """The address of the interpreter with number 0."""
        address = _word(memory, self._address + words[_INTERPRETERS_HEAD])
        for _ in range(_MAX_INTERPRETERS):
            if not address:
                break
            if _word(memory, address + words[_INTERPRETER_ID]) == 0:
                return address
            address = _word(memory, address + words[_INTERPRETER_NEXT])
        raise UnknownLayoutError("there is no main interpreter; the program is starting or ending")

    def _threads(self, memory: int, words: tuple[int, ...], interpreter: int) -> dict[int, int]:
        """The address of each thread's state, by native id. The main thread's must be the process's."""
        native = words[_LAYOUTS[self.version].native_thread_id]
        main = _word(memory, interpreter + words[_MAIN_THREAD])
        if not main:
            raise UnknownLayoutError("there is no main thread; the program is starting or ending")
        if (found := _word(memory, main + native)) != self.pid:
            raise UnknownLayoutError(
                f"its Python runs in thread {found}, and not in the process's main thread"
            )
        threads = {self.pid: main}
        state = _word(memory, interpreter + words[_THREADS_HEAD])
        for _ in range(_MAX_THREADS):
            if not state:
                break
            threads.setdefault(_word(memory, state + native), state)
            state = _word(memory, state + words[_THREAD_NEXT])
        return threads


def find(pid: int) -> Runtime | None:
    """The interpreter of Python 3.13 or later in a process; None if there is none.

    Raises OSError if the process's memory may not be read.
    """
    mapped = elf.mappings(Path(f"/proc/{pid}/maps").read_text(errors="surrogateescape"))
    for path, file in _candidates(pid, mapped):
        address = _runtime_address(file, [each for each in mapped if each.path == path])
        if address is not None and _has_cookie(pid, address):
            return Runtime(pid, address)
    return None


def _candidates(pid: int, mapped: list[elf.Mapping]) -> Iterator[tuple[str, str]]:
    """Files that may contain the interpreter: the path in the process's maps, and the path to open.

    ``exe`` can be opened also when the file was replaced since the process was started.
    """
    yield str(Path(f"/proc/{pid}/exe").readlink()), f"/proc/{pid}/exe"
    for path in dict.fromkeys(each.path for each in mapped):
        if "python" in Path(path).name:
            yield path, f"/proc/{pid}/root{path}"


def _runtime_address(file: str, mapped: list[elf.Mapping]) -> int | None:
    with contextlib.suppress(OSError), Path(file).open("rb") as binary:
        found = elf.section(binary, b".PyRuntime")
        return None if found is None else found.mapped_at(mapped)
    return None


def _has_cookie(pid: int, address: int) -> bool:
    with _memory(pid) as memory:
        try:
            return _read(memory, address, len(COOKIE)) == COOKIE
        except UnknownLayoutError:
            return False


@contextlib.contextmanager
def _memory(pid: int) -> Iterator[int]:
    descriptor = os.open(f"/proc/{pid}/mem", os.O_RDWR | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read(memory: int, address: int, size: int) -> bytes:
    try:
        found = os.pread(memory, size, address)
    except (OSError, OverflowError) as error:
        raise UnknownLayoutError(f"nothing can be read at {address:#x}") from error
    if len(found) != size:
        raise UnknownLayoutError(f"nothing can be read at {address:#x}")
    return found


def _word(memory: int, address: int) -> int:
    return int.from_bytes(_read(memory, address, 8), "little")


def _write(memory: int, address: int, data: bytes) -> None:
    if os.pwrite(memory, data, address) != len(data):
        raise UnknownLayoutError(f"nothing can be written at {address:#x}")
