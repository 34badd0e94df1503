from __future__ import annotations

import os
from pathlib import Path

import pytest

from qcfeed.control import paths
from qcfeed.control.paths import ControlAddress
from qcfeed.errors import ConfigError, NotAllowedError, UsageError


@pytest.fixture
def env(tmp_path):
    return {"XDG_RUNTIME_DIR": str(tmp_path / "run"), "XDG_STATE_HOME": str(tmp_path / "state")}


def test_where_things_live(env, tmp_path):
    assert paths.socket_path("8006", env) == tmp_path / "run" / "qcfeed" / "8006.sock"
    assert paths.token_path(env) == tmp_path / "run" / "qcfeed" / "control.token"
    assert paths.audit_path("8006", env) == tmp_path / "state" / "qcfeed" / "8006.audit.jsonl"


def test_without_xdg(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert paths.runtime_directory({}) == tmp_path / f"qcfeed-{os.getuid()}"
    assert paths.state_directory({"HOME": "/home/ana"}) == Path("/home/ana/.local/state/qcfeed")


@pytest.mark.parametrize("name", ["8006", "prod-1.us_EAST", "x" * 64])
def test_instance_names(name, env):
    assert paths.instance_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "a/b", "../x", "a b", "x" * 65, "näme", "a\n", "a\0", "*", ".\u2024"]
)
def test_bad_instance_names(name, env):
    with pytest.raises(ConfigError, match="cannot name an instance"):
        paths.socket_path(name, env)
    with pytest.raises(ConfigError):
        paths.resolve(name, None, None, env)


def test_a_path_as_long_as_the_kernel_takes():
    longest = Path("/" + "x" * (paths.SOCKET_PATH_BYTES - 1))
    assert paths.checked_socket(longest) == longest
    with pytest.raises(ConfigError, match="has 108 bytes, the kernel takes 107"):
        paths.checked_socket(Path(f"{longest}x"))


def test_bytes_count_and_not_letters():
    with pytest.raises(ConfigError):
        paths.checked_socket(Path("/" + "é" * 60))


def test_explicit_wins(env):
    named = paths.resolve("8006", None, None, env)
    assert named == ControlAddress(socket=paths.socket_path("8006", env))
    assert paths.resolve(None, Path("/x/y"), None, env) == ControlAddress(socket=Path("/x/y"))


@pytest.mark.parametrize("url", ["http://127.0.0.1:99", "http://localhost:99/", "http://[::1]:99"])
def test_url(url, env):
    address = paths.resolve(None, None, url, env | {"QCFEED_TOKEN": "secret"})
    assert (address.port, address.token, address.socket) == (99, "secret", None)


def test_url_without_any_token(env):
    assert paths.resolve(None, None, "http://127.0.0.1:99", env).token is None


def test_url_with_a_token_file_that_others_can_read(env):
    path = paths.token_path(env)
    path.parent.mkdir(parents=True)
    path.write_text("secret")
    path.chmod(0o644)
    with pytest.raises(NotAllowedError, match="only"):
        paths.resolve(None, None, "http://127.0.0.1:99", env)


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:99",
        "http://127.0.0.1",
        "https://127.0.0.1:99",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:99/v1",
        "http://me@127.0.0.1:99",
        "http://10.0.0.1:99",
        "http://example.org:99",
        "http://127.0.0.1.example.org:99",
        "http://[::1:99",
    ],
)
def test_bad_urls(url, env):
    with pytest.raises(UsageError) as raised:
        paths.resolve(None, None, url, env | {"QCFEED_TOKEN": "secret"})
    assert "secret" not in f"{raised.value.message}{raised.value.hint}"


def test_an_instance_and_a_socket_together_are_refused(env):
    with pytest.raises(UsageError, match="--instance, --socket and --url"):
        paths.resolve("8006", Path("/x"), None, env)


def test_nothing_runs_where_nothing_is(env):
    assert paths.running_instances(env) == []
