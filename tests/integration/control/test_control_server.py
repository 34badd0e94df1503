"""The control plane's server over real sockets: who may ask, what, and what is left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from http.client import HTTPConnection
from pathlib import Path

import msgspec
import pytest

from qcfeed.control import actions
from qcfeed.control.audit import AuditLog
from qcfeed.control.client import ControlClient, ServiceBugError
from qcfeed.control.paths import ControlAddress
from qcfeed.control.routes import REAP, TASKS, TASKS_BY_LOCATION, ActionRoute, NoQuery, ReadRoute
from qcfeed.diagnostics.ledger import owned_by
from qcfeed.errors import (
    ConfigError,
    NeedsConfirmationError,
    NotAllowedError,
    NotFoundError,
    StartError,
    TimedOutError,
    UsageError,
)
from qcfeed.model.answer import Answer, ErrorAnswer
from qcfeed.model.orphans import Reaped, ReapRequest
from qcfeed.model.tasks import Tasks, TasksByLocation
from tests.support.patience import PATIENCE


def threads():
    return {thread.name for thread in threading.enumerate()}


def ask(path, request: bytes) -> tuple[int, bytes]:
    """One raw HTTP request over the Unix socket: status and body."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(path))
        sock.sendall(request)
        whole = b"".join(iter(lambda: sock.recv(65_536), b""))
    head, _, body = whole.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body


def failure(body: bytes) -> ErrorAnswer:
    return msgspec.json.decode(body, type=ErrorAnswer)


class Gone:
    closed = True
    symbol = "AAPL"

    def __str__(self) -> str:
        return "subscriber 812 of AAPL"


# ---------------------------------------------------------------- starting and stopping


def test_starts_private_and_leaves_nothing(serve):
    plane = serve()
    assert stat.S_IMODE(plane.directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(plane.server.socket.stat().st_mode) == 0o600
    assert "qcfeed-control" in threads()
    plane.client().get(TASKS_BY_LOCATION, TasksByLocation)
    plane.server.stop()
    assert list(plane.directory.iterdir()) == []
    assert not {name for name in threads() if name.startswith("qcfeed-")}
    plane.server.stop()


def test_connections_made_while_it_stops_leave_no_socket_open(serve):
    """What would be left open is a ResourceWarning once it is collected, and so an error."""
    for number in range(20):
        plane = serve(f"stopping-{number}")
        for _ in range(3):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(plane.server.socket))
        plane.server.stop()
    gc.collect()


def test_the_same_instance_twice(serve):
    first = serve("8006")
    with pytest.raises(StartError, match=rf"8006 already runs here \(pid {os.getpid()}\)"):
        serve("8006")
    assert first.client().get(TASKS_BY_LOCATION, TasksByLocation).instance == "8006"


def test_two_instances_side_by_side(serve):
    planes = [serve("8006"), serve("8007")]
    answers = [plane.client().get(TASKS_BY_LOCATION, TasksByLocation) for plane in planes]
    assert [answer.instance for answer in answers] == ["8006", "8007"]


def test_a_stale_socket_is_replaced(serve, tmp_path):
    path = tmp_path / "run" / "8006.sock"
    killed = f"""
import os, signal
from pathlib import Path
from qcfeed.control.listeners import UnixListener
UnixListener("8006", Path({str(path)!r}))
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", killed], timeout=PATIENCE)
    assert path.is_socket()
    assert serve("8006").client().get(TASKS_BY_LOCATION, TasksByLocation).pid == os.getpid()


def test_a_taken_port_leaves_nothing_behind(serve, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=f"127.0.0.1:{port}"):
            serve(listen=("127.0.0.1", port))
    assert list((tmp_path / "run").iterdir()) == []
    assert "qcfeed-control" not in threads()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org"])
def test_listens_on_loopback_only(serve, host):
    with pytest.raises(ConfigError, match="loopback only"):
        serve(listen=(host, 0))


def test_an_open_directory_is_refused(serve, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o755)
    with pytest.raises(StartError, match="open to other users"):
        serve()


def test_no_audit_log_no_start(serve, tmp_path):
    (tmp_path / "log").mkdir()
    with pytest.raises(StartError, match="cannot write the audit log"):
        serve(audit=AuditLog(tmp_path / "log"))


# ---------------------------------------------------------------- who may ask

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

NOBODY = """
import os, sys
from pathlib import Path
from qcfeed.control.client import ControlClient
from qcfeed.control.paths import ControlAddress
from qcfeed.control.routes import TASKS
from qcfeed.errors import NotAllowedError
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    ControlClient(ControlAddress(socket=Path(sys.argv[1])), timeout=60).fetch(TASKS)
except NotAllowedError as error:
    print(error.message)
"""


def ask_as_nobody(path) -> str:
    command = [sys.executable, "-c", NOBODY, str(path)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, check=True
    ).stdout


@pytest.fixture
def public(serve):
    """A plane in a directory that other users can reach (pytest's own they cannot)."""
    with tempfile.TemporaryDirectory() as outer:
        Path(outer).chmod(0o711)
        plane = serve(directory=Path(outer) / "run")
        yield plane
        plane.server.stop()


@as_root
def test_the_socket_keeps_other_users_out(public):
    public.directory.chmod(0o711)
    assert "Permission denied" in ask_as_nobody(public.server.socket)


@as_root
def test_the_directory_keeps_other_users_out(public):
    public.server.socket.chmod(0o666)
    assert "Permission denied" in ask_as_nobody(public.server.socket)


@as_root
def test_the_kernel_names_other_users(public):
    """Even where socket and directory are open to them, which they never are by themselves."""
    public.directory.chmod(0o711)
    public.server.socket.chmod(0o666)
    said = ask_as_nobody(public.server.socket)
    assert "user nobody may not speak to a service of user root" in said


def test_a_web_page_is_refused(serve):
    request = f"GET {TASKS} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nOrigin: null\r\n\r\n"
    status, body = ask(serve().server.socket, request.encode())
    assert status == 403
    assert "web pages" in failure(body).message


def tcp_request(port, token, **headers) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    given = {"Host": f"127.0.0.1:{port}", "Authorization": f"Bearer {token}"} | headers
    connection.request("GET", TASKS, headers={k: v for k, v in given.items() if v is not None})
    response = connection.getresponse()
    status, body = response.status, response.read()
    connection.close()
    return status, body


@pytest.fixture
def tcp(serve):
    plane = serve(listen=("127.0.0.1", 0))
    path = plane.directory / "control.token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return plane.server.port, path.read_text().strip()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_tcp_with_the_token(tcp, host):
    port, token = tcp
    assert tcp_request(port, token, Host=f"{host}:{port}")[0] == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"Authorization": None},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Basic eDp5"},
        {"Host": "evil.example:80"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1:1"},
        {"Host": "127.0.0.1.evil.example:{port}"},
        {"Origin": "http://127.0.0.1:{port}"},
        {"Origin": "null"},
    ],
)
def test_tcp_refusals(tcp, wrong):
    port, token = tcp
    headers = {k: v and v.replace("{port}", str(port)) for k, v in wrong.items()}
    status, body = tcp_request(port, token, **headers)
    assert status == 403
    assert failure(body).code == "not_allowed"


def test_tcp_action_is_audited_as_the_tokens(tmp_path, serve):
    plane = serve(listen=("127.0.0.1", 0))
    token = (plane.directory / "control.token").read_text().strip()
    client = ControlClient(ControlAddress(port=plane.server.port, token=token), timeout=PATIENCE)
    client.post(REAP, ReapRequest(), Reaped)
    assert plane.lines()[0]["who"] == {"via": "token"}


# ---------------------------------------------------------------- what may be asked


def test_unknown_path_lists_the_known(serve):
    with pytest.raises(NotFoundError, match="/v1/nothing") as raised:
        serve().client().fetch("/v1/nothing")
    assert TASKS_BY_LOCATION in raised.value.hint


def test_an_action_is_no_read(serve):
    with pytest.raises(NotFoundError):
        serve().client().fetch(REAP)


@pytest.mark.parametrize(
    ("params", "says"),
    [({"limit": "many"}, "limit"), ({"colour": "red"}, "colour"), ({"limit": -1}, "limit")],
)
def test_bad_parameters(serve, params, says):
    with pytest.raises(UsageError, match=says):
        serve().client().fetch(TASKS, **params)


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'{"timeout_s": "long"}', b'{"sudo": true}', b"\xff\xfe", b'{"batch": 0}'],
)
def test_malformed_json(serve, body):
    head = f"POST {REAP} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}"
    plane = serve()
    status, answer = ask(plane.server.socket, f"{head}\r\n\r\n".encode() + body)
    assert (status, failure(answer).code) == (400, "usage")


def test_oversized_body(serve):
    class Big(msgspec.Struct):
        padding: str = "x" * 100_000

    with pytest.raises(UsageError, match="more than 65536 bytes"):
        serve().client().send(REAP, Big())


@pytest.mark.parametrize(
    "target", [b"/\xff\xfe", b"/%ff%fe", b"/v1/tasks?%ff=1", b"/v1/tasks?limit=%ff", b"*", b"//"]
)
def test_targets_that_are_no_text(serve, target):
    request = b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    plane = serve()
    status, _ = ask(plane.server.socket, request)
    assert status in (400, 404)
    plane.client().get(TASKS, Tasks)


def test_errors_keep_their_meaning(serve):
    def needs_yes(_):
        raise NeedsConfirmationError("AAPL has 3 subscribers", hint="add --yes")

    def broken(_):
        raise ZeroDivisionError("a bug")

    plane = serve(
        routes=[ReadRoute("/yes", NoQuery, needs_yes), ReadRoute("/bug", NoQuery, broken)]
    )
    with pytest.raises(NeedsConfirmationError, match="AAPL has 3 subscribers") as raised:
        plane.client().fetch("/yes")
    assert raised.value.hint == "add --yes"
    with pytest.raises(ServiceBugError, match="ZeroDivisionError: a bug"):
        plane.client().fetch("/bug")


def test_envelope(serve):
    answer = serve("prod-1").client().get(TASKS, Tasks)
    assert (answer.pid, answer.instance) == (os.getpid(), "prod-1")
    assert answer.taken_at.endswith("Z")
    assert answer.elapsed_ms > 0


# ---------------------------------------------------------------- many at once


def test_twenty_readers(serve):
    client = serve().client()
    answers: list[TasksByLocation] = []
    readers = [
        threading.Thread(
            target=lambda: answers.append(client.get(TASKS_BY_LOCATION, TasksByLocation))
        )
        for _ in range(20)
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(PATIENCE)
    assert len(answers) == 20


def test_a_slow_read_holds_up_no_other(serve):
    release, began = threading.Event(), threading.Event()

    def slow(_):
        began.set()
        release.wait(PATIENCE)
        return Answer()

    plane = serve(
        routes=[ReadRoute("/slow", NoQuery, slow), ReadRoute("/quick", NoQuery, lambda _: Answer())]
    )
    slow_one = threading.Thread(target=plane.client().fetch, args=("/slow",))
    slow_one.start()
    assert began.wait(PATIENCE)
    plane.client(timeout=PATIENCE).fetch("/quick")
    assert slow_one.is_alive()
    release.set()
    slow_one.join(PATIENCE)


# ---------------------------------------------------------------- actions, audited


async def sleepers(n, owner):
    with owned_by(owner):
        return [asyncio.create_task(asyncio.sleep(600)) for _ in range(n)]


def test_a_reap_is_audited(serve, watched):
    orphans = watched.run(sleepers(7, Gone()))
    plane = serve()
    reaped = plane.client().post(REAP, ReapRequest(), Reaped)
    assert (reaped.cancelled, reaped.survivors) == (7, [])
    assert all(task.cancelled() for task in orphans)
    intent, outcome = plane.lines()
    assert intent["event"] == "intent"
    assert intent["action"] == outcome["action"] == "orphans.reap"
    assert intent["id"] == outcome["id"]
    assert intent["request"] == {"timeout_s": 10.0, "batch": 500}
    assert intent["who"]["uid"] == os.getuid()
    assert intent["who"]["pid"] == os.getpid()
    assert outcome["outcome"] == "done"
    assert outcome["before"] == {"orphaned_tasks": 7}
    assert outcome["after"]["cancelled"] == 7
    assert "pid" not in outcome["after"]
    assert stat.S_IMODE(plane.audit.path.stat().st_mode) == 0o600


def action(handle, query=NoQuery):
    return [ActionRoute("/act", "act", query, handle)]


def test_a_failed_action_is_audited(serve):
    async def fails(_):
        raise NeedsConfirmationError("not so fast")

    plane = serve(routes=action(fails))
    with pytest.raises(NeedsConfirmationError):
        plane.client().post("/act", NoQuery(), Answer)
    assert plane.lines()[-1]["outcome"] == "failed"
    assert plane.lines()[-1]["error"] == "not so fast"


class Patience(msgspec.Struct):
    timeout_s: float = 0.0


def test_a_timed_out_action_is_cancelled_and_audited(serve, monkeypatch):
    cancelled = threading.Event()

    async def waits(_):
        try:
            await asyncio.sleep(600)
        finally:
            cancelled.set()

    monkeypatch.setattr(actions, "CANCEL_GRACE", PATIENCE)
    plane = serve(routes=action(waits, Patience), action_grace=2.0)
    with pytest.raises(TimedOutError, match="was cancelled"):
        plane.client().post("/act", Patience(0.2), Answer)
    assert cancelled.is_set()
    assert plane.lines()[-1]["outcome"] == "timed_out"


def test_an_action_that_outlives_its_cancellation_is_audited_when_it_ends(serve, watched):
    end = asyncio.Event()

    async def stubborn(_):
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                continue
        return Answer()

    plane = serve(routes=action(stubborn), action_grace=2.0)
    with pytest.raises(TimedOutError, match="has not ended yet"):
        plane.client().post("/act", NoQuery(), Answer)
    assert len(plane.lines()) == 1
    watched.call(end.set)
    plane.server.stop()
    assert plane.lines()[-1]["outcome"] == "done"


def test_stopping_ends_an_action(serve, watched):
    began = threading.Event()

    async def waits(_):
        began.set()
        await asyncio.sleep(600)

    plane = serve(routes=action(waits, Patience), action_grace=PATIENCE)
    refusals = []

    def post():
        try:
            plane.client().post("/act", Patience(60), Answer)
        except Exception as error:  # noqa: BLE001
            refusals.append(error)

    asker = threading.Thread(target=post)
    asker.start()
    assert began.wait(PATIENCE)
    plane.server.stop()
    asker.join(PATIENCE)
    assert "the service stops" in str(refusals[0])
    assert plane.lines()[-1]["outcome"] == "cancelled"


def test_no_audit_no_action(serve, tmp_path):
    began = []

    async def acts(_):
        began.append(True)
        return Answer()

    plane = serve(routes=action(acts))
    plane.audit.path.unlink()
    plane.audit.path.mkdir()
    with pytest.raises(NotAllowedError, match=r"audit log .* cannot be written"):
        plane.client().post("/act", NoQuery(), Answer)
    assert began == []
