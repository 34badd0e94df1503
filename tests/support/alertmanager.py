"""A real Alertmanager (Debian's), and the webhook that it tells."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import daemon
from tests.support.patience import PATIENCE

needs_alertmanager = daemon.needs("prometheus-alertmanager", "amtool")
"""Mark of tests that start one, or ask amtool."""


@contextlib.contextmanager
def alertmanager(directory: Path, config: str) -> Iterator[str]:
    """One on loopback until the end of the block: its URL. ``config``: an alertmanager.yml."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "alertmanager.yml"
    path.write_text(config)
    command = [
        "prometheus-alertmanager",
        f"--config.file={path}",
        f"--storage.path={directory / 'alertmanager'}",
        "--web.listen-address=127.0.0.1:0",
        "--cluster.listen-address=",  # alone: no gossip
    ]
    with daemon.running(command, directory / "alertmanager.log") as url:
        yield url


@dataclass(slots=True)
class Webhook:
    """What it was told, in order: the alerts of each message as Alertmanager's webhook sends them."""

    url: str
    alerts: list[dict[str, Any]] = field(default_factory=list)

    def told(self, name: str, status: str) -> dict[str, Any] | None:
        """The alert ``name`` as it was first told to be ``firing`` or ``resolved``, if it was."""
        for alert in self.alerts:
            if (alert["labels"]["alertname"], alert["status"]) == (name, status):
                return alert
        return None

    def hear(self, name: str, status: str, *, within: float = PATIENCE) -> dict[str, Any]:
        """Wait until it is told."""
        deadline = time.monotonic() + within
        while (alert := self.told(name, status)) is None:
            assert time.monotonic() < deadline, f"{name} {status}: not told; told: {self.alerts}"
            time.sleep(0.05)
        return alert


@contextlib.contextmanager
def webhook() -> Iterator[Webhook]:
    """A receiver on loopback until the end of the block."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    server.daemon_threads = False
    heard = Webhook(f"http://127.0.0.1:{server.server_port}/")
    server.heard = heard  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Receiver(http.server.BaseHTTPRequestHandler):
    timeout = PATIENCE

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.alerts.extend(json.loads(body)["alerts"])  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: a test's output is its own."""
