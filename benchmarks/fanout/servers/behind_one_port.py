"""Several ``qcfeed serve --reuse-port`` behind one port: the kernel spreads connections over them.

python -m benchmarks.fanout.servers.behind_one_port PROCESSES OPTION...
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.fanout.servers.source import ready

_PATIENCE = 20.0


@contextmanager
def instance(port: int, options: list[str]) -> Iterator[None]:
    """Run one instance until the block ends. Exits with its output if it does not start."""
    command = [sys.executable, "-m", "qcfeed", "serve", "--reuse-port", "--port", str(port)]
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen([*command, *options], stderr=log)
        try:
            until = time.monotonic() + _PATIENCE
            while f":{port}/quotes/" not in (output := Path(log.name).read_text()):
                if process.poll() is not None or time.monotonic() > until:
                    sys.exit(f"an instance did not start: {output}")
                time.sleep(0.01)
            yield
        finally:
            process.terminate()
            process.wait()


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    processes, options = int(sys.argv[1]), sys.argv[2:]
    with ExitStack() as running, socket.socket() as held:
        # Bound but not listening: this reserves the port and receives no connection.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        for _ in range(processes):
            running.enter_context(instance(port, options))
        ready(port)
        signal.pause()


if __name__ == "__main__":
    main()
