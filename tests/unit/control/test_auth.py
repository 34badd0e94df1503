from __future__ import annotations

import os
import stat
import threading

import pytest

from qcfeed.control import auth
from qcfeed.control.peers import Peer
from qcfeed.errors import NotAllowedError, StartError
from tests.support.patience import PATIENCE

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.mark.parametrize("uid", [0, os.geteuid()])
def test_clients_let_in(uid):
    auth.check_client(Peer(1, uid))


def test_other_users_are_not():
    with pytest.raises(NotAllowedError, match="may not speak"):
        auth.check_client(Peer(1, os.geteuid() + 4242))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_loopback(host):
    assert auth.is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "10.0.0.1", "localhost.example.org", "127.1", "2130706433"]
)
def test_not_loopback(host):
    assert not auth.is_loopback(host)


@pytest.mark.parametrize("host", ["127.0.0.1:80", "localhost:80", "[::1]:80"])
def test_hosts(host):
    auth.check_host(host, 80)


@pytest.mark.parametrize(
    "host",
    [None, "", "127.0.0.1", "127.0.0.1:81", "evil.example:80", ":80", "[::1]", "127.0.0.1:080"],
)
def test_foreign_hosts(host):
    with pytest.raises(NotAllowedError):
        auth.check_host(host, 80)


def test_token():
    auth.check_token("Bearer abc", "abc")


@pytest.mark.parametrize("given", [None, "", "abc", "Bearer", "Bearer ab", "bearer abc", "\udcff"])
def test_wrong_tokens(given):
    with pytest.raises(NotAllowedError):
        auth.check_token(given, "abc")


# ---------------------------------------------------------------- the directory


def test_directory_is_made_private(tmp_path):
    auth.ensure_directory(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    auth.ensure_directory(tmp_path / "a" / "b")


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_open_directories(tmp_path, mode):
    (tmp_path / "d").mkdir()
    (tmp_path / "d").chmod(mode)
    with pytest.raises(StartError, match="open to other users") as raised:
        auth.ensure_directory(tmp_path / "d")
    assert "chmod 700" in raised.value.hint


def test_a_link_to_a_directory(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(StartError, match="is not a directory"):
        auth.ensure_directory(tmp_path / "link")


def test_a_file_in_its_place(tmp_path):
    (tmp_path / "d").touch()
    with pytest.raises(StartError, match="cannot make the directory"):
        auth.ensure_directory(tmp_path / "d")


@as_root
def test_a_directory_of_another_user_is_refused(tmp_path):
    (tmp_path / "d").mkdir(mode=0o700)
    os.chown(tmp_path / "d", NOBODY, NOBODY)
    with pytest.raises(StartError, match="is not a directory of user root"):
        auth.ensure_directory(tmp_path / "d")


# ---------------------------------------------------------------- the token's file


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "token"


def test_a_token_is_made_once(path):
    token = auth.ensure_token(path)
    assert len(token) >= 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert auth.ensure_token(path) == token
    assert [file.name for file in path.parent.iterdir()] == ["token"]


def test_services_that_start_at_once_agree(path):
    auth.ensure_directory(path.parent)
    barrier, tokens = threading.Barrier(8), []

    def start():
        barrier.wait(PATIENCE)
        tokens.append(auth.ensure_token(path))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens) == 8
    assert len(set(tokens)) == 1
    assert [file.name for file in path.parent.iterdir()] == ["token"]


def spoil_mode(path):
    path.write_text("secret")
    path.chmod(0o640)


def spoil_content(path):
    path.touch(mode=0o600)


def spoil_link(path):
    auth.ensure_token(path.with_name("other"))
    path.symlink_to(path.with_name("other"))


def spoil_kind(path):
    os.mkfifo(path, 0o600)


def spoil_owner(path):
    path.write_text("secret")
    path.chmod(0o600)
    os.chown(path, NOBODY, NOBODY)


@pytest.mark.parametrize(
    "spoil",
    [spoil_mode, spoil_content, spoil_link, spoil_kind, pytest.param(spoil_owner, marks=as_root)],
)
def test_token_files_not_trusted(path, spoil):
    auth.ensure_directory(path.parent)
    spoil(path)
    with pytest.raises(NotAllowedError) as raised:
        auth.ensure_token(path)
    assert "secret" not in raised.value.message
