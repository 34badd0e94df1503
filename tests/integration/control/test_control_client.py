"""The client against servers that are absent, rude or slow, and what it costs to import."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from qcfeed.control import client as client_module
from qcfeed.control import paths, server
from qcfeed.control.client import ControlClient
from qcfeed.control.paths import ControlAddress
from qcfeed.control.routes import TASKS, TASKS_BY_LOCATION
from qcfeed.errors import (
    AmbiguousInstanceError,
    NotAllowedError,
    QcfeedError,
    TimedOutError,
    UnreachableError,
    UsageError,
)
from qcfeed.model.answer import ErrorAnswer
from qcfeed.model.status import ServiceStatus
from qcfeed.model.tasks import Tasks, TasksByLocation
from tests.support.patience import PATIENCE
from tests.support.shell import untraced

Peer = Callable[[socket.socket, threading.Event], None]


@contextlib.contextmanager
def rude(path: Path, peer: Peer, timeout: float = PATIENCE) -> Iterator[ControlClient]:
    """A server that treats its one connection as ``peer`` does; a client for it."""
    over = threading.Event()

    def run() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            peer(connection, over)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield ControlClient(ControlAddress(socket=path), timeout=timeout)
        finally:
            over.set()
            thread.join(PATIENCE)
            assert not thread.is_alive()


def silent(_: socket.socket, over: threading.Event) -> None:
    over.wait()


def drips_a_head(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while not over.wait(0.05):
        connection.sendall(b"x")


def drips_a_body(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not over.wait(0.05):
        connection.sendall(b" ")


@pytest.mark.parametrize("peer", [silent, drips_a_head, drips_a_body])
def test_nothing_lasts_longer_than_the_timeout(tmp_path, peer):
    with rude(tmp_path / "s", peer, timeout=0.5) as client:
        begun = time.monotonic()
        with pytest.raises(TimedOutError, match=r"within 0\.5 s"):
            client.fetch(TASKS)
        assert 0.4 < time.monotonic() - begun < PATIENCE, "it would never have answered"


def test_a_server_that_does_not_accept(tmp_path):
    """Its backlog is full: a stopped process."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as held:
        listener.bind(str(path))
        listener.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                waiting = held.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect(str(path))
        begun = time.monotonic()
        with pytest.raises(TimedOutError):
            ControlClient(ControlAddress(socket=path), timeout=0.5).fetch(TASKS)
        assert time.monotonic() - begun < PATIENCE, "it would never have accepted"


def says(*pieces: bytes) -> Peer:
    def peer(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65_536)
        for piece in pieces:
            connection.sendall(piece)

    return peer


STRANGE = {
    b"": "closed the connection without an answer",
    b"HT": "says b'HT' and no more",
    b"HTTP/1.1 200 OK\r\nContent-": "and no more",
    b"220 mail.example ESMTP\r\n": "begins with b'220 mail.example",
    b"\r\n\r\n": "begins with",
    b"HTTP/1.1 OK 200\r\n\r\n": "begins with",
    b"HTTP/1.1 2000 OK\r\n\r\n": "begins with",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}": "says b'Content-Length: -1'",
    b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000: "a head of over",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno!": "HTTP status 404",
    b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{": "ended after 1 of 9 bytes",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}": "does not know",
    b'HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n{"schema":"qcfeed.reap/2"}': "does not know",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xff": "does not know",
    # HTTP/1.0 has no chunks: whoever sends them all the same has not read the request.
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n": "does not know",
}


@pytest.mark.parametrize(("answer", "told"), STRANGE.items())
def test_something_else_answers(tmp_path, answer, told):
    with rude(tmp_path / "s", says(answer)) as client, pytest.raises(UnreachableError) as raised:
        client.get(TASKS, Tasks)
    assert told in raised.value.message


def test_something_else_that_stays_is_not_waited_for(tmp_path):
    def greets(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"220 mail.example ESMTP\r\n")
        over.wait(PATIENCE)

    with (
        rude(tmp_path / "s", greets) as client,
        pytest.raises(UnreachableError, match="220 mail"),
    ):
        client.fetch(TASKS)


BODY = b'{"schema":"qcfeed.tasks/1","tasks":[],"total":0}'
LENGTH = b"Content-Length: %d" % len(BODY)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n\r\n" + BODY,
        b"HTTP/1.0 200\r\nX: y\r\n" + LENGTH.lower() + b"\r\n\r\n" + BODY,
        b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
        b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n\r\n" + BODY + b"more than was announced",
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_an_answer_in_whatever_pieces(tmp_path, answer, size):
    pieces = [answer[at : at + size] for at in range(0, len(answer), size)]
    with rude(tmp_path / "s", says(*pieces)) as client:
        assert client.fetch(TASKS) == BODY


def test_an_answer_is_complete_when_its_length_has_arrived(tmp_path):
    """Though the connection stays open."""

    def stays(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"HTTP/1.0 200 OK\r\n" + LENGTH + b"\r\n\r\n" + BODY)
        over.wait(PATIENCE)

    with rude(tmp_path / "s", stays) as client:
        assert client.fetch(TASKS) == BODY


@pytest.mark.parametrize("most", [len(BODY), len(BODY) - 1])
def test_an_answer_that_announces_too_much_is_not_read(tmp_path, monkeypatch, most):
    def announces(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"HTTP/1.0 200 OK\r\n" + LENGTH + b"\r\n\r\n")
        if most == len(BODY):
            connection.sendall(BODY)
        over.wait(PATIENCE)

    monkeypatch.setattr(client_module, "ANSWER_BYTES", most)
    with rude(tmp_path / "s", announces) as client:
        if most == len(BODY):
            assert client.fetch(TASKS) == BODY
        else:
            with pytest.raises(UnreachableError, match=f"over {most} bytes"):
                client.fetch(TASKS)


def test_an_answer_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(client_module, "ANSWER_BYTES", 1000)
    answer = b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 2000
    with (
        rude(tmp_path / "s", says(answer)) as client,
        pytest.raises(UnreachableError, match="over 1000 bytes"),
    ):
        client.fetch(TASKS)


@pytest.mark.parametrize(("code", "kind"), sorted(client_module.errors_by_code().items()))
def test_every_error_has_the_same_type_and_text_in_the_client(tmp_path, code, kind):
    body = msgspec.json.encode(
        ErrorAnswer(code=code, message="why", hint="do", loop_stack=["a.py:1 f"])
    )
    answer = b"HTTP/1.1 500 X\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with rude(tmp_path / "s", says(answer)) as client, pytest.raises(QcfeedError) as raised:
        client.fetch(TASKS)
    assert type(raised.value) is kind
    assert (raised.value.message, raised.value.hint) == ("why", "do")
    assert raised.value.__notes__ == ["a.py:1 f"]


def test_a_refused_connection_is_unreachable(tmp_path):
    with pytest.raises(UnreachableError) as raised:
        ControlClient(ControlAddress(socket=tmp_path / "none.sock"), timeout=PATIENCE).fetch(TASKS)
    assert "qcfeed serve" in raised.value.hint


def test_a_port_without_a_listener_is_unreachable():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = ControlAddress(port=bound.getsockname()[1])
        with pytest.raises(UnreachableError, match="refused"):
            ControlClient(address, timeout=PATIENCE).fetch(TASKS)


IMPOSTOR = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1]); os.chmod(sys.argv[1], 0o666); listener.listen()
print("ready", flush=True)
sys.stdin.read()
"""

VICTIM = """
import os, sys
from pathlib import Path
from qcfeed.control.client import ControlClient
from qcfeed.control.paths import ControlAddress
from qcfeed.errors import NotAllowedError
os.setgroups([]); os.setgid(65533); os.setuid(65533)
try:
    ControlClient(ControlAddress(socket=Path(sys.argv[1])), timeout=60).fetch("/v1/tasks")
except NotAllowedError as error:
    print(error.message)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_socket_of_another_user_is_refused():
    """A socket of nobody's, asked by another user: the client does not believe it."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o777)
        path = f"{directory}/8006.sock"
        impostor = subprocess.Popen(
            [sys.executable, "-c", IMPOSTOR, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with impostor:
            assert impostor.stdout.readline() == "ready\n"
            victim = subprocess.run(
                [sys.executable, "-c", VICTIM, path],
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
            impostor.stdin.close()
    assert "is served by user nobody, not by 65533" in victim.stdout, victim.stderr


# ---------------------------------------------------------------- which instance


@pytest.fixture
def env(tmp_path):
    """Where the planes of ``serve`` are found: its directory under another name."""
    (tmp_path / "run").mkdir(mode=0o700)
    (tmp_path / "qcfeed").symlink_to(tmp_path / "run")
    return {"XDG_RUNTIME_DIR": str(tmp_path)}


def test_none_runs(env):
    with pytest.raises(UnreachableError, match="no qcfeed service runs here") as raised:
        paths.resolve(None, None, None, env)
    assert "qcfeed serve" in raised.value.hint


def test_the_only_running_instance_is_found_beside_a_dead_socket(env, serve, tmp_path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "run" / "dead.sock"))
    serve("prod")
    (found,) = paths.running_instances(env)
    assert (found.name, found.pid) == ("prod", os.getpid())
    client = ControlClient(paths.resolve(None, None, None, env), timeout=PATIENCE)
    assert client.get(TASKS_BY_LOCATION, TasksByLocation).instance == "prod"


def test_several_are_listed(env, serve):
    serve("8006")
    serve("8007")
    with pytest.raises(AmbiguousInstanceError) as raised:
        paths.resolve(None, None, None, env)
    assert f"8006 (pid {os.getpid()}), 8007 (pid {os.getpid()})" in raised.value.message
    assert "--instance 8006" in raised.value.hint
    named = paths.resolve("8007", None, None, env)
    answer = ControlClient(named, timeout=PATIENCE).get(TASKS_BY_LOCATION, TasksByLocation)
    assert answer.instance == "8007"


def test_by_url_with_the_token_file(env, serve):
    plane = serve(listen=("127.0.0.1", 0))
    url = f"http://127.0.0.1:{plane.server.port}"
    ControlClient(paths.resolve(None, None, url, env), timeout=PATIENCE).fetch(TASKS)
    wrong = paths.resolve(None, None, url, env | {"QCFEED_TOKEN": "wrong"})
    with pytest.raises(NotAllowedError, match="token"):
        ControlClient(wrong, timeout=PATIENCE).fetch(TASKS)


def test_a_token_of_two_lines_is_none(env):
    with pytest.raises(UsageError, match="line break"):
        paths.resolve(None, None, "http://127.0.0.1:1", env | {"QCFEED_TOKEN": "a\nX: b"})


# ---------------------------------------------------------------- cost


def test_get_decodes_what_fetch_returns(serve):
    client = serve().client()
    raw = client.fetch(TASKS, limit=1, offset=None)
    assert msgspec.json.decode(raw)["schema"] == "qcfeed.tasks/1"
    with pytest.raises(UnreachableError, match="does not know"):
        client.decode(raw, ServiceStatus)


def test_the_client_imports_nothing_slow():
    script = "import qcfeed.control.client, sys; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", script],
        env=untraced(),
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    loaded = set(run.stdout.split())
    assert not loaded & {
        "aiohttp", "asyncio", "typer", "rich", "yarl", "http.client", "ssl", "email", "hashlib",
        "secrets", "tempfile",
    }  # fmt: skip


def test_an_abort_ends_the_request_under_way_and_every_later_one(tmp_path: Path) -> None:
    path = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        client = ControlClient(ControlAddress(socket=path), timeout=PATIENCE)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            asking = pool.submit(client.fetch, TASKS)
            with silent.accept()[0] as accepted:
                accepted.recv(1)  # it has asked, and waits
                client.abort()
                with pytest.raises(UnreachableError):
                    asking.result(timeout=PATIENCE)
    with pytest.raises(UnreachableError, match="aborted"):
        client.fetch(TASKS)


def test_silent_connections_do_not_lock_out_a_token_holder(env, serve, monkeypatch):
    monkeypatch.setattr(server, "CONNECTIONS", 2)
    plane = serve(listen=("127.0.0.1", 0))
    address = ("127.0.0.1", plane.server.port)
    with contextlib.ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(address, PATIENCE)) for _ in range(6)
        ]
        by_token = paths.resolve(None, None, f"http://127.0.0.1:{plane.server.port}", env)
        ControlClient(by_token, timeout=PATIENCE).fetch(TASKS)
        for each in silent[:4]:  # they made room
            with contextlib.suppress(ConnectionResetError):
                assert each.recv(1) == b""
        assert plane.server.ended["evicted"] >= 4
