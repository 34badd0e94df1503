from __future__ import annotations

from pathlib import Path

import pytest

from qcfeed.metrics import memory
from qcfeed.metrics.memory import MemoryLimit, find_limit, limit, resident

MACHINE = 64 * 2**30


@pytest.fixture
def membership(tmp_path: Path) -> Path:
    return tmp_path / "cgroup"


def group(root: Path, path: str, name: str, text: str) -> None:
    directory = root / path.lstrip("/")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text(text + "\n")


def test_version_2_counts_every_level_above(tmp_path: Path, membership: Path) -> None:
    membership.write_text("0::/pod/app\n")
    group(tmp_path, "/pod/app", "memory.max", "max")
    group(tmp_path, "/pod", "memory.max", str(16 * 2**30))
    assert find_limit(membership, tmp_path, MACHINE) == MemoryLimit(16 * 2**30, "cgroup v2")


def test_version_1_has_a_number_for_no_limit(tmp_path: Path, membership: Path) -> None:
    membership.write_text("5:cpu,cpuacct:/x\n4:memory:/docker/abc\n")
    group(tmp_path / "memory", "/docker/abc", "memory.limit_in_bytes", str(2 * 2**30))
    group(tmp_path / "memory", "/", "memory.limit_in_bytes", "9223372036854771712")
    assert find_limit(membership, tmp_path, MACHINE) == MemoryLimit(2 * 2**30, "cgroup v1")


@pytest.mark.parametrize("text", ["0::/\n", "", "4:memory:/gone\n"])
def test_without_a_limit_the_machine_is_the_limit(
    tmp_path: Path, membership: Path, text: str
) -> None:
    membership.write_text(text)
    assert find_limit(membership, tmp_path / "nothing", MACHINE) == MemoryLimit(MACHINE, "machine")


@pytest.mark.parametrize(
    "line",
    [b"nonsense", b"0:", b"0:/app", b":::", b"0::app", b"0::/a\0b", b"\xff\xfe", b"0::/\xff", b""],
)
def test_a_malformed_line_is_passed_over(tmp_path: Path, membership: Path, line: bytes) -> None:
    membership.write_bytes(line + b"\n0::/app\n")
    group(tmp_path, "/app", "memory.max", str(2**30))
    assert find_limit(membership, tmp_path, MACHINE) == MemoryLimit(2**30, "cgroup v2")


@pytest.mark.parametrize("text", ["9" * 5_000, "-1", "\u0661", "1_0", "", "1.5", "x" * 100_000])
def test_a_malformed_limit_is_no_limit(tmp_path: Path, membership: Path, text: str) -> None:
    membership.write_text("0::/app\n")
    group(tmp_path, "/app", "memory.max", text)
    assert find_limit(membership, tmp_path, MACHINE) == MemoryLimit(MACHINE, "machine")


def test_a_limit_beyond_the_machine_is_no_limit(tmp_path: Path, membership: Path) -> None:
    membership.write_text("0::/app\n")
    group(tmp_path, "/app", "memory.max", str(MACHINE * 2))
    assert find_limit(membership, tmp_path, MACHINE) == MemoryLimit(MACHINE, "machine")


def test_without_cgroups_the_limit_is_the_machines_memory(tmp_path: Path) -> None:
    assert find_limit(tmp_path / "none", tmp_path, MACHINE) == MemoryLimit(MACHINE, "machine")


def test_this_process_is_within_its_limit() -> None:
    assert 0 < resident() < limit().bytes


def kept_open() -> int:
    """Open files of this process that tell figures of memory."""
    links = Path("/proc/self/fd").iterdir()
    return sum("statm" in str(link.resolve()) for link in links if link.is_symlink())


def test_figures_that_are_kept_need_no_descriptor_until_they_are_released() -> None:
    memory.release()
    assert memory.resident() > 0
    assert kept_open() == 0, "a single reading keeps nothing"
    memory.prepare()
    memory.prepare()
    assert memory.resident() > 0
    assert kept_open() == 1
    memory.release()
    memory.release()
    assert kept_open() == 0
    assert memory.resident() > 0
