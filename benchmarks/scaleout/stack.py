"""A NATS server, a feeder, and gateways behind one port: what a machine with several of each would run.

python -m benchmarks.scaleout.stack GATEWAYS RATE OPTION...    # options of the gateways
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.fanout.servers.behind_one_port import instance
from benchmarks.fanout.servers.source import ready

_PATIENCE = 20.0


@contextmanager
def nats_server(directory: Path) -> Iterator[str]:
    """Run a server with JetStream until the block ends; its URL."""
    program = shutil.which("nats-server") or str(Path(sys.executable).with_name("nats-server"))
    arguments = (
        "-js",
        "-a",
        "127.0.0.1",
        "-p",
        "-1",
        "-sd",
        directory,
        "--ports_file_dir",
        directory,
    )
    process = subprocess.Popen([program, *arguments], stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + _PATIENCE
        while not (found := list(directory.glob("*.ports"))):
            if process.poll() is not None or time.monotonic() > until:
                sys.exit("the NATS server did not start")
            time.sleep(0.01)
        yield json.loads(found[0].read_text())["nats"][0]
    finally:
        process.terminate()
        process.wait()


@contextmanager
def feeder(url: str, rate: str) -> Iterator[None]:
    """Run a feeder until the block ends."""
    command = [sys.executable, "-m", "qcfeed", "feeder", "--no-monitor", "--to", url]
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen([*command, "--upstream", f"sim:?rate={rate}"], stderr=log)
        try:
            until = time.monotonic() + _PATIENCE
            while "owner of share" not in (output := Path(log.name).read_text()):
                if process.poll() is not None or time.monotonic() > until:
                    sys.exit(f"the feeder did not start: {output}")
                time.sleep(0.01)
            yield
        finally:
            process.terminate()
            process.wait()


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    gateways, rate, options = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    with ExitStack() as running, socket.socket() as held:
        directory = Path(running.enter_context(tempfile.TemporaryDirectory()))
        url = running.enter_context(nats_server(directory))
        running.enter_context(feeder(url, rate))
        # Bound but not listening: this reserves the port and receives no connection.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        for _ in range(gateways):
            running.enter_context(instance(port, ["--upstream", url, *options]))
        ready(port)
        signal.pause()


if __name__ == "__main__":
    main()
