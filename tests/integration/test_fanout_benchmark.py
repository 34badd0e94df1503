"""The fan-out benchmark measures what it says: its readers against a server that is known."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from benchmarks.fanout import building
from benchmarks.fanout.peers import PEERS, Peer
from benchmarks.fanout.processes import Readers, reading, serving
from benchmarks.fanout.results import SCHEMA, Results, load
from benchmarks.fanout.running import run
from benchmarks.fanout.workloads import Workload
from qcfeed.model import frames, messages
from qcfeed.model.messages import Quote
from qcfeed.upstreams.timestamps import render
from tests.support.patience import PATIENCE
from tests.support.shell import untraced

pytestmark = pytest.mark.skipif(building.compiler() is None, reason="no C compiler here")

SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
BY_NAME = {peer.name: peer for peer in PEERS}

Pieces = Sequence[bytes]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return building.build("readers", tmp_path_factory.mktemp("bench"))


def quote(seq: int, *, conflated: int = 0, ts: str | None = None) -> bytes:
    at = render(time.time_ns()) if ts is None else ts
    return messages.encode(
        Quote("AAPL", 189.99, 300, 190.01, 100, 190.0, at, "7f3a1", seq, conflated)
    )


def frame(seq: int, **more: int) -> bytes:
    return frames.text(quote(seq, **more))


class KnownServer:
    """Upgrades so many connections, sends each the same pieces when told, keeps what it hears."""

    def __init__(self, connections: int, pieces: Pieces) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.heard = bytearray()
        self._pieces = pieces
        self._connections = connections
        self._go = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def go(self) -> None:
        self._go.set()

    def close(self) -> None:
        self._go.set()
        self._over.set()
        self.listener.close()
        self._thread.join(PATIENCE)

    def _serve(self) -> None:
        self.listener.settimeout(PATIENCE)
        with ExitStack() as clients:
            upgraded = [clients.enter_context(self._upgrade()) for _ in range(self._connections)]
            self._go.wait(PATIENCE)
            with suppress(ConnectionError):  # the readers may have seen enough
                self._send_and_hear(upgraded)

    def _send_and_hear(self, clients: Sequence[socket.socket]) -> None:
        for piece in self._pieces:
            for client in clients:
                client.sendall(piece)
        while not self._over.wait(0.005):
            for client in clients:
                try:
                    self.heard += client.recv(4096, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    continue

    def _upgrade(self) -> socket.socket:
        client = self.listener.accept()[0]
        client.settimeout(PATIENCE)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        assert head.startswith((b"GET /quotes/AAPL HTTP/1.1\r\n", b"GET / "))
        client.sendall(SWITCHING)
        if head.startswith(b"GET / "):
            assert b"SUB quotes.AAPL 1" in client.recv(4096)
            client.sendall(binary(b"INFO {}\r\n+OK\r\nPONG\r\n"))
        return client


def binary(payload: bytes) -> bytes:
    return bytes((0x82, 126)) + len(payload).to_bytes(2, "big") + payload


@contextmanager
def served(
    program: Path, pieces: Pieces, *, peer: Peer = BY_NAME["qcfeed"], readers: int = 1
) -> Iterator[tuple[Readers, KnownServer]]:
    workload = Workload("known", "saturation", "a known server", rate=None, readers=readers)
    with (
        closing(KnownServer(readers, pieces)) as server,
        reading(program, peer, workload, server.port) as asked,
    ):
        yield asked, server


def counted(readers: Readers, enough: Callable[[Counter[str]], bool]) -> Counter[str]:
    """Everything that arrives until it is enough; fails where it does not become so."""
    totals: Counter[str] = Counter()
    until = time.monotonic() + PATIENCE
    while not enough(totals):
        assert time.monotonic() < until, totals
        said = readers.ask("count")
        totals.update({name: said[name] for name in ("delivered", "conflated", "gaps", "missing")})
        totals.update({name: said[name] for name in ("others", "faults", "closed")})
    return totals


def arrived(
    program: Path, pieces: Pieces, quotes: int, readers: int = 1, **more: Peer
) -> Counter[str]:
    with served(program, pieces, readers=readers, **more) as (asked, server):
        server.go()
        return counted(asked, lambda totals: totals["delivered"] >= quotes * readers)


def test_every_quote_of_every_reader_is_counted(program: Path) -> None:
    stream = [frame(seq) for seq in range(1, 501)]
    totals = arrived(program, stream, 500, readers=7)
    assert +totals == {"delivered": 3_500}


@pytest.mark.parametrize("seed", range(3))
def test_frames_may_be_cut_anywhere(program: Path, seed: int) -> None:
    long = frames.text(b"{" + b" " * 70_000 + b"}")
    status = frames.text(b'{"type":"status","symbol":"AAPL","state":"live","age_ms":1}')
    stream = b"".join([frame(1), long, frame(2), status, *(frame(seq) for seq in range(3, 301))])
    dice = random.Random(seed)
    pieces, at = [], 0
    while at < len(stream):
        size = dice.choice((1, 1, 2, 3, 100, 1_000)) if at < 2_000 or at > 70_000 else 10_000
        pieces.append(stream[at : at + size])
        at += size
    assert +arrived(program, pieces, 300) == {"delivered": 300, "others": 2}


def test_a_planted_gap_is_found_and_a_conflated_one_is_none(program: Path) -> None:
    told = [frame(1), frame(2), frame(6, conflated=3), frame(7)]
    assert +arrived(program, told, 4) == {"delivered": 4, "conflated": 3}
    untold = [frame(1), frame(2), frame(6), frame(7), frame(7)]
    assert +arrived(program, untold, 5) == {"delivered": 5, "gaps": 2, "missing": 3}


def test_what_a_server_may_not_send_is_a_fault(program: Path) -> None:
    masked = b"\x81\x84\x00\x00\x00\x00oops"
    with served(program, [frame(1) + masked]) as (asked, server):
        server.go()
        totals = counted(asked, lambda totals: totals["closed"] > 0)
    assert +totals == {"delivered": 1, "faults": 1, "closed": 1}


def test_a_ping_is_answered(program: Path) -> None:
    with served(program, [frames.frame(frames.Opcode.PING, b"hi")]) as (asked, server):
        server.go()
        until = time.monotonic() + PATIENCE
        while bytes(server.heard) != b"\x8a\x82\x00\x00\x00\x00hi":
            assert time.monotonic() < until, bytes(server.heard)
            asked.ask("count")


def test_a_quote_is_late_by_what_has_passed_since_it_was_due(program: Path) -> None:
    due = time.time_ns() - 5_000_000_000
    late = [frames.text(quote(seq, ts=render(due))) for seq in range(1, 101)]
    with served(program, late) as (asked, server):
        server.go()
        said = asked.ask("count")
        while "latency_us" not in said:
            said = asked.ask("count")
        passed = (time.time_ns() - due) / 1e3
    assert 5e6 / 1.01 <= said["latency_us"]["p50"] <= passed * 1.01


def test_a_reader_that_is_stopped_reads_on_where_it_stopped(program: Path) -> None:
    with served(program, [frame(seq) for seq in range(1, 101)], readers=3) as (asked, server):
        assert asked.ask("stop 1") == {"stopped": 1}
        server.go()
        while_stopped = counted(asked, lambda totals: totals["delivered"] >= 200)
        asked.ask("stop 0")
        after = counted(asked, lambda totals: totals["delivered"] >= 100)
    assert (+while_stopped, +after) == ({"delivered": 200}, {"delivered": 100})


def test_nats_operations_may_be_cut_by_frames_and_segments(program: Path) -> None:
    texts = [quote(seq) for seq in range(1, 201)]
    stream = b"".join(b"MSG quotes.AAPL 1 %d\r\n%b\r\n" % (len(each), each) for each in texts)
    wire = b"".join(binary(stream[at : at + 997]) for at in range(0, len(stream), 997))
    pieces = [wire[at : at + 313] for at in range(0, len(wire), 313)]
    assert +arrived(program, pieces, 200, peer=BY_NAME["nats"]) == {"delivered": 200}


def bench(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.fanout", "--quick", "--seconds", "3"]
    return subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=untraced(),
    )


def test_a_whole_run_of_two_peers(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    peers = ("--peers", "qcfeed", "naive")
    with bench(*peers, "--workloads", "1x100", "churn", "--json", str(figures)) as running:
        said, talk = running.communicate(timeout=5 * PATIENCE)
    assert running.returncode == 0, said + talk
    kept = load(figures)
    assert kept.machine["aiohttp"]
    for peer in ("qcfeed", "naive"):
        (saturation,) = kept.rounds["1x100"][peer]
        assert saturation["deliveries_per_s"] > 0
        assert (saturation["gaps"], saturation["lost"]) == (0, 0)
        (churn,) = kept.rounds["churn"][peer]
        assert churn["cycles_per_s"] > 0
        assert churn["lost"] == 0
    assert "1x100: x the best peer (naive)" in said


def environment(process: psutil.Process) -> str:
    try:
        return str(process.environ().get("QCFEED_BENCH_MARK"))
    except psutil.Error:
        return ""


def test_a_run_that_is_broken_off_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark, figures = f"mark-{tmp_path}", tmp_path / "figures.json"
    monkeypatch.setenv("QCFEED_BENCH_MARK", mark)
    these = ("--peers", "naive", "--workloads", "1x100", "--json", str(figures))
    with bench(*these, "--rounds", "50") as running:
        until = time.monotonic() + PATIENCE
        while not figures.exists():
            assert time.monotonic() < until
            time.sleep(0.01)
        running.terminate()  # most likely while the next server is being started
        _, talk = running.communicate(timeout=5 * PATIENCE)
    assert running.returncode == 143, talk
    assert not [each.pid for each in psutil.process_iter() if mark in environment(each)]
    had = load(figures).of("1x100", "naive")
    assert 1 <= len(had) < 50
    with bench(*these, "--rounds", str(len(had) + 1), "--resume") as running:
        _, talk = running.communicate(timeout=5 * PATIENCE)
    assert running.returncode == 0, talk
    assert load(figures).of("1x100", "naive")[:-1] == had
    with bench(*these, "--resume", "--seconds", "9") as running:
        _, talk = running.communicate(timeout=5 * PATIENCE)
    assert running.returncode == 1
    assert talk == "cannot go on: its measurements took 3 s each, not 9\n"


DIES = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", 0), backlog=100)
print("ready", server.getsockname()[1], flush=True)
clients = [server.accept()[0] for _ in range(2)]
sys.exit("oh dear")
"""


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("import sys; sys.exit('no such luck')", "did not start: exit status 1\nno such luck"),
        (DIES, "oh dear"),
        (None, "cannot be started"),
    ],
    ids=["does not start", "dies with its readers", "is not there"],
)
def test_a_peer_that_fails_is_reported_and_the_others_are_measured(
    script: str | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["/no/such/program"] if script is None else [sys.executable, "-c", script]
    broken = Peer("broken", "a broken peer", lambda *_: command)
    workload = Workload("small", "saturation", "small", rate=None, readers=2)
    results = Results(SCHEMA, {}, 0.2, {"small": workload})
    kept: list[int] = []
    run(
        results,
        [broken, BY_NAME["naive"]],
        [workload],
        rounds=3,
        keep=lambda: kept.append(len(results.of("small", "naive"))),
    )
    assert kept == [1, 2, 3]
    assert len(results.failed("small", "broken")) == 2, "a third time would come to the same"
    assert words in results.failed("small", "broken")[0]
    assert "not measured: a broken peer" in capsys.readouterr().err


def test_two_processes_share_a_port_and_both_are_ended(program: Path) -> None:
    workload = Workload("small", "saturation", "small", None, readers=64, any_core=True)
    with serving(BY_NAME["two"], workload) as server:
        processes = server.process.children(recursive=True)
        assert len(processes) == 2
        with reading(program, BY_NAME["two"], workload, server.port) as readers:
            said = counted(readers, lambda totals: totals["delivered"] > 64)
            connected = [len(each.net_connections("tcp")) for each in processes]
        assert min(connected) > 2, f"one has them all: {connected}"
    assert said["gaps"] == 0
    _, alive = psutil.wait_procs(processes, PATIENCE)
    assert alive == []
