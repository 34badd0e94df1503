"""Services that a command does not find where it looks are looked for in the kernel's list, and named."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcfeed.control import elsewhere, paths
from qcfeed.errors import NotAllowedError, UnreachableError

HEADER = "Num       RefCount Protocol Flags    Type St Inode Path\n"


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Path]:
    """The path of a control socket on which this process listens."""
    path = tmp_path / "run" / "qcfeed" / "night-7fa3.sock"
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield path


def asked(directory: Path, instance: str | None = None) -> None:
    raise elsewhere.instead_of(instance, directory) or LookupError


def test_only_listening_control_sockets_are_read() -> None:
    row = "0000000000000000: 00000002 00000000 {} 0001 01 4711 {}\n"
    text = HEADER + "".join(
        (
            row.format("00010000", "/run/user/1000/qcfeed/8006.sock"),
            row.format("00010000", "/tmp/qcfeed-1000/with.dot.sock"),
            row.format("00000000", "/run/user/1000/qcfeed/connected.sock"),
            row.format("00010000", "/run/other/8006.sock"),
            row.format("00010000", "@abstract/qcfeed/8006.socket"),
            "0000000000000000: 00000002 00000000 00010000 0001 01 4712\n",
        )
    )
    assert [each.instance for each in elsewhere.listening(text)] == ["8006", "with.dot"]


def test_a_service_under_another_directory_is_named(listening: Path, tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match=r"but elsewhere: .*night-7fa3 in ") as raised:
        asked(tmp_path / "mine" / "qcfeed", "night-7fa3")
    assert f"`qcfeed --socket {listening} ...`" in str(raised.value.hint)


def test_a_removed_socket_beside_a_living_process_is_named_as_that(listening: Path) -> None:
    listening.unlink()
    with pytest.raises(UnreachableError, match=rf"was removed, but process {os.getpid()} still"):
        asked(listening.parent, "night-7fa3")
    with pytest.raises(UnreachableError, match="socket of night-7fa3 was removed"):
        paths.resolve(None, None, None, {"XDG_RUNTIME_DIR": str(listening.parents[1])})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_service_of_another_user_is_not_allowed_rather_than_not_there(
    listening: Path, tmp_path: Path
) -> None:
    listening.parent.chmod(0o700)
    mine = tmp_path / "mine" / "qcfeed"
    mine.mkdir(parents=True)
    os.seteuid(65534)
    try:
        with pytest.raises(NotAllowedError, match=r"another user .*night-7fa3") as raised:
            asked(mine, "night-7fa3")
    finally:
        os.seteuid(0)
    for option in ("sudo -u USER", "--url", "QCFEED_TOKEN"):
        assert option in str(raised.value.hint)


def test_without_any_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert elsewhere.instead_of("no-such-instance-1b2c", tmp_path) is None
