"""A real Alertmanager (Debian's), and the webhook that it tells."""

from __future__ import annotations

import contextlib
import http.server
import json
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import daemon

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
    """What it was told: a message a group of alerts, as Alertmanager's webhook sends it."""

    url: str
    messages: queue.Queue[dict[str, Any]] = field(default_factory=queue.Queue)

    def hear(self, name: str, status: str, *, within: float = 60.0) -> dict[str, Any]:
        """Wait for the alert ``name`` to be told as ``firing`` or ``resolved``."""
        while True:
            message = self.messages.get(timeout=within)
            for alert in message["alerts"]:
                if (alert["labels"]["alertname"], alert["status"]) == (name, status):
                    found: dict[str, Any] = alert
                    return found


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
    timeout = daemon.PATIENCE

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.messages.put(json.loads(body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: a test's output is its own."""
