"""An operator gives out API keys, and subscribers use them: the real commands, from `keys add` to the bundle."""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qcfeed.errors import ExitStatus
from tests.support.access import write
from tests.support.patience import PATIENCE
from tests.support.shell import QCFEED, environment, qcfeed, serving, until


def add(home: Path, name: str, *more: str) -> str:
    """A new key, which is also in the file NAME.key."""
    added = qcfeed(home, "keys", "add", name, "--keys", str(home / "keys.json"), *more)
    assert added.returncode == 0, added.stderr
    key = added.stdout.strip()
    write(home / f"{name}.key", key.encode())
    return key


@contextmanager
def watching(home: Path, *args: str) -> Iterator[subprocess.Popen[str]]:
    """`watch` until the end of the block, or until it ends by itself."""
    process = subprocess.Popen(
        [QCFEED, "watch", "-o", "json", *args], env=environment(home), text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)
        assert process.stderr is not None
        process.stderr.close()


def names(home: Path) -> list[str]:
    answer = qcfeed(home, "subscribers", "-o", "json").stdout
    return sorted(each["name"] for each in json.loads(answer)["subscribers"])


def test_keys_from_the_first_to_a_revoked_one(tmp_path: Path) -> None:
    desk, guest = add(tmp_path, "desk-7"), add(tmp_path, "guest", "--symbols", "AAPL")
    keys = str(tmp_path / "keys.json")
    with serving(tmp_path, "--no-monitor", "--upstream", "sim:?rate=20", "--keys", keys) as service:
        none = qcfeed(tmp_path, "watch", "AAPL", "--count", "1")
        assert none.returncode == ExitStatus.NOT_ALLOWED
        assert "--token-file FILE, or set QCFEED_TOKEN" in none.stderr
        more = ("--token-file", str(tmp_path / "guest.key"), "--count", "1")
        assert qcfeed(tmp_path, "watch", "MSFT", *more).returncode == ExitStatus.NOT_ALLOWED
        of_desk = {"QCFEED_TOKEN": desk}
        assert qcfeed(tmp_path, "watch", "AAPL", "MSFT", "--count", "3", **of_desk).returncode == 0

        file = ("--token-file", str(tmp_path / "guest.key"))
        with watching(tmp_path, "AAPL", *file) as watch:
            until(lambda: names(tmp_path) == ["guest"], "the subscriber")
            table = qcfeed(tmp_path, "subscribers").stdout
            assert "guest" in table
            arguments = Path(f"/proc/{watch.pid}/cmdline").read_text()
            assert guest not in arguments
            assert not [each for each in (desk, guest) if each in _everything(tmp_path)]
            assert qcfeed(tmp_path, "keys", "revoke", "guest", "--keys", keys).returncode == 0
            assert watch.wait(PATIENCE) == ExitStatus.NOT_ALLOWED
            assert watch.stderr is not None
            assert "unknown, or revoked" in watch.stderr.read()
        refused = qcfeed(tmp_path, "watch", "AAPL", *more)
        assert (refused.returncode, refused.stdout) == (ExitStatus.NOT_ALLOWED, "")

        write(Path(keys), b"spoilt")
        until(lambda: "are not read again" in qcfeed(tmp_path, "status").stderr, "the finding")
        assert qcfeed(tmp_path, "watch", "AAPL", "--count", "1", **of_desk).returncode == 0
    assert service.process.returncode == 0
    said = "".join(service.talk)
    assert "access   with API keys of " in said
    assert desk not in said
    assert guest not in said
    assert "stays in use" in said


def _everything(home: Path) -> str:
    """What the commands show and save of a running service."""
    bundle = home / "evidence.tar.gz"
    assert qcfeed(home, "report", "--window", "1s", "--bundle", str(bundle)).returncode in (0, 1)
    shown = [qcfeed(home, "config", "show").stdout]
    with tarfile.open(bundle) as archive:
        for each in archive:
            content = archive.extractfile(each)
            shown.append("" if content is None else content.read().decode())
    bundle.unlink()
    return "\n".join(shown)


def test_the_drill_of_this_fault_runs_beside_authentication(tmp_path: Path) -> None:
    """The clients of a drill get a key that is in no file."""
    add(tmp_path, "desk-7")
    keys = ("--keys", str(tmp_path / "keys.json"))
    with serving(tmp_path, "--no-monitor", "--drill", "slow-consumers=3", *keys):
        until(lambda: names(tmp_path) == ["drill"] * 3, "the drill's clients")
