"""Sections of ELF files, and where they are in a process: written files, and the running interpreter's."""

from __future__ import annotations

import ctypes
import io
import struct
import sys
from pathlib import Path

import pytest

from qcfeed.inject import elf

FIXED, MOVABLE = 2, 3


def file(kind: int, segments: list[tuple[int, int]], *, address: int) -> io.BytesIO:
    """A file with segments (offset, address) in this order, and one section ``.found`` at ``address``."""
    names = b"\0.found\0.names\0"
    programs = b"".join(
        struct.pack("<IIQQQQQQ", 1, 0, offset, at, at, 0, 0, 0) for offset, at in segments
    )
    names_at = 64 + len(programs)
    sections_at = names_at + len(names)
    sections = struct.pack("<IIQQQQIIQQ", 1, 1, 0, address, 0, 8, 0, 0, 1, 0)
    sections += struct.pack("<IIQQQQIIQQ", 8, 3, 0, 0, names_at, len(names), 0, 0, 1, 0)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01", kind, 62, 1, 0, 64, sections_at, 0, 64, 56, len(segments), 64, 2, 1,
    )  # fmt: skip
    return io.BytesIO(header + programs + names + sections)


def mapped(start: int, offset: int) -> elf.Mapping:
    return elf.Mapping(start, offset, "/usr/bin/python3.14")


def test_a_file_with_fixed_addresses_is_where_it_says() -> None:
    found = elf.section(file(FIXED, [(0, 0x400000)], address=0xB947C0), b".found")
    assert found is not None
    assert found.mapped_at([mapped(0x400000, 0)]) == 0xB947C0


def test_the_segment_of_the_mapping_counts_in_whatever_order_the_segments_are() -> None:
    # patchelf puts the segment that is mapped first at the end of the table.
    segments = [(0x23C8, 0x23C8), (0x24000, 0x24000), (0, 0)]
    found = elf.section(file(MOVABLE, segments, address=0x500010), b".found")
    assert found is not None
    assert found.mapped_at([mapped(0x7F0000000000, 0)]) == 0x7F0000500010
    assert found.mapped_at([mapped(0x7F0000024000, 0x24000)]) == 0x7F0000500010
    assert found.mapped_at([mapped(0x7F0000024000, 0x99000)]) is None


@pytest.mark.parametrize("size", [0, 10, 63, 64, 100])
def test_a_truncated_file_has_no_section(size: int) -> None:
    whole = file(MOVABLE, [(0, 0)], address=16).getvalue()
    assert elf.section(io.BytesIO(whole[:size]), b".found") is None
    assert elf.section(io.BytesIO(whole), b".other") is None
    assert elf.section(io.BytesIO(b"#!/bin/sh\n" * 20), b".found") is None


def test_maps_are_read_also_with_spaces_in_paths() -> None:
    text = (
        "003fe000-0041b000 rw-p 00000000 fe:00 5474680                            /a b/python3.14\n"
        "7ffd5e5c6000-7ffd5e5e7000 rw-p 00000000 00:00 0                          [stack]\n"
        "7ffd5e5f0000-7ffd5e5f1000 rw-p 00000000 00:00 0\n"
    )
    assert elf.mappings(text) == [elf.Mapping(0x3FE000, 0, "/a b/python3.14")]


@pytest.mark.skipif(sys.version_info < (3, 13), reason="the section came with Python 3.13")
def test_the_running_interpreter_is_found_where_its_symbol_is() -> None:
    symbol = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
    maps = elf.mappings(Path("/proc/self/maps").read_text())
    addresses = set()
    for path in dict.fromkeys(each.path for each in maps if "python" in Path(each.path).name):
        with Path(path).open("rb") as binary:
            found = elf.section(binary, b".PyRuntime")
        if found is not None:
            addresses.add(found.mapped_at([each for each in maps if each.path == path]))
    assert symbol in addresses
