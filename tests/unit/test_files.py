from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from qcfeed import files
from qcfeed.config import Config
from qcfeed.config.credentials import read_secret
from qcfeed.config.loading import load_group, read_file
from qcfeed.errors import ConfigError


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PIPE_TIMEOUT", 0.1)


def test_a_file_of_the_limit_is_read_and_one_byte_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    path.chmod(0o640)
    assert files.read(path, 10) == (b"x" * 10, 0o640)
    with pytest.raises(OSError, match="more than 9 bytes"):
        files.read(path, 9)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/full", "/dev/null"])
def test_a_device_is_refused(path: str) -> None:
    with pytest.raises(OSError, match="not a file"):
        files.read(Path(path), 10)


def test_a_pipe_is_read_to_its_end(pipe: Path) -> None:
    writer = threading.Thread(target=pipe.write_bytes, args=(b"x" * 200_000,))
    writer.start()
    try:
        assert files.read(pipe, 200_000)[0] == b"x" * 200_000
    finally:
        writer.join()


@pytest.mark.usefixtures("impatient")
def test_a_pipe_that_no_program_writes_is_not_waited_for(pipe: Path) -> None:
    with pytest.raises(OSError, match=r"not written and closed within 0\.1 s"):
        files.read(pipe, 10)


@pytest.mark.usefixtures("impatient")
def test_a_pipe_that_is_not_closed_is_not_waited_for(pipe: Path) -> None:
    descriptor = os.open(pipe, os.O_RDWR)
    try:
        os.write(descriptor, b"x")
        with pytest.raises(OSError, match="not written and closed"):
            files.read(pipe, 10)
        os.write(descriptor, b"x" * 20)
        with pytest.raises(OSError, match="more than 10 bytes"):
            files.read(pipe, 10)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a = " + b"[" * 30_000, "not valid TOML"),
        (b"port = " + b"9" * 5_000, "not valid TOML"),
        (b"port = " + b"9" * 4_000, "sets port"),
        (b"port = 0x" + b"f" * 60_000, "sets port to a number of too many digits"),
        (b"linger = 0x" + b"f" * 60_000, "sets linger to a number of too many digits"),
        (b"a." * 10_000 + b"a = 1", "sets 'a'|more than the allowed"),
        (b'"' + b"a" * 60_000 + b'" = 1', "not an option"),
        (b"port = '" + b"a" * 60_000 + b"'", "sets port"),
        (b"# \n" * 30_000, "more than 65,536 bytes"),
        (b"\xff", "not valid TOML"),
    ],
    ids=[
        "deep",
        "5,000 digits",
        "4,000 digits",
        "hexadecimal",
        "not a float",
        "dotted",
        "key",
        "value",
        "long",
        "utf-8",
    ],
)
def test_a_configuration_that_means_harm_is_one_clear_error(
    tmp_path: Path, content: bytes, why: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=why) as caught:
        load_group(Config, {}, environment={}, file=path)
    assert len(str(caught.value)) < 600


@pytest.mark.usefixtures("impatient")
def test_devices_and_silent_pipes_are_no_configuration(pipe: Path) -> None:
    for path, why in ((Path("/dev/zero"), "a device"), (pipe, "the pipe was not written")):
        with pytest.raises(ConfigError, match=why):
            read_file(path, {})
        with pytest.raises(ConfigError, match=why):
            read_secret(str(path), "--prometheus-token-file")
