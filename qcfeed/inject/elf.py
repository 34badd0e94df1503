"""Reads where an ELF file has a section, and where a process has mapped the file (elf(5), proc(5))."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import BinaryIO, NamedTuple

PAGE = 4096
_IS_64_BIT_LITTLE_ENDIAN = b"\x7fELF\x02\x01"
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_LOAD = 1
_FIXED_ADDRESS = 2
"""``ET_EXEC``: the file is mapped at the addresses that it names."""


class Mapping(NamedTuple):
    """One line of /proc/PID/maps that maps a part of a file."""

    start: int
    offset: int
    path: str


class Section(NamedTuple):
    """A section's address as the file names it, and what is needed to find where the file was mapped."""

    address: int
    fixed: bool
    segments: tuple[tuple[int, int], ...]
    """Offset in the file and address of each loaded segment."""

    def mapped_at(self, mappings: Iterable[Mapping]) -> int | None:
        """The section's address in a process with these mappings of the file; None if they do not fit."""
        if self.fixed:
            return self.address
        for mapping in mappings:
            for offset, address in self.segments:
                if _page(offset) == mapping.offset:
                    return mapping.start - _page(address) + self.address
        return None


def mappings(maps: str) -> list[Mapping]:
    """The mapped files of a process, from the text of /proc/PID/maps."""
    found = []
    for line in maps.splitlines():
        parts = line.split(maxsplit=5)
        if len(parts) == 6 and parts[5].startswith("/"):
            start = int(parts[0].partition("-")[0], 16)
            found.append(Mapping(start, int(parts[2], 16), parts[5]))
    return found


def section(file: BinaryIO, name: bytes) -> Section | None:
    """The section ``name`` of a 64-bit little-endian ELF file; None if there is none, or no such file."""
    try:
        return _section(file, name)
    except (struct.error, ValueError, IndexError):  # not an ELF file, or a truncated one
        return None


def _section(file: BinaryIO, name: bytes) -> Section | None:
    header = file.read(_HEADER.size)
    if not header.startswith(_IS_64_BIT_LITTLE_ENDIAN):
        return None
    _, kind, _, _, _, programs, sections, _, _, size, count, length, number, names = _HEADER.unpack(
        header
    )
    # A section has its name at 0, its address at 3, its offset at 4 and its size at 5; a segment has its
    # type at 0, its offset at 2 and its address at 3.
    table = _table(file, sections, length, number, _SECTION)
    file.seek(table[names][4])
    strings = file.read(table[names][5])
    for entry in table:
        if strings[entry[0] :].split(b"\0", 1)[0] == name:
            loaded = [
                each for each in _table(file, programs, size, count, _SEGMENT) if each[0] == _LOAD
            ]
            return Section(
                entry[3], kind == _FIXED_ADDRESS, tuple((each[2], each[3]) for each in loaded)
            )
    return None


def _table(
    file: BinaryIO, offset: int, length: int, number: int, entry: struct.Struct
) -> list[tuple[int, ...]]:
    file.seek(offset)
    raw = file.read(length * number)
    return [entry.unpack_from(raw, n * length) for n in range(number)]


def _page(address: int) -> int:
    return address - address % PAGE
