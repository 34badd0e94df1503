"""`qcfeed watch` against servers that are not trusted, or ask for the impossible."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qcfeed.client.refusals import MAX_RETRY_IN, RetryableError, from_http
from qcfeed.model import messages
from tests.support.certificate import of_localhost
from tests.support.flooding_server import PING, flooding, upgraded
from tests.support.loopback_http import reply, serving
from tests.support.shell import qcfeed

Call = Callable[..., Any]


def test_a_certificate_error_is_told_as_one(qcfeed_: Call, tmp_path: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(of_localhost(tmp_path))
    with serving(lambda _, __: [reply("")], tls=tls) as url:
        left = qcfeed_("watch", "AAPL", "--server", url.replace("https:", "wss:"))
    assert left.status == 3
    assert "its certificate is not trusted: self-signed certificate" in left.err
    assert "--tls-ca FILE names the certificates to trust" in left.err


def test_a_server_that_hangs_up_at_once_gives_a_reason(qcfeed_: Call) -> None:
    """A server without TLS cannot read a client's first bytes, and closes the connection."""
    with serving(lambda _, __: [reply("")]) as url:
        left = qcfeed_("watch", "AAPL", "--server", url.replace("http:", "wss:"))
    assert left.status == 3
    assert re.search(r"cannot reach \S+: \w", left.err)


@pytest.mark.parametrize("asked", ["9" * 400, "9" * 5_000, "86400"])
def test_a_server_cannot_make_a_client_wait_for_ever(asked: str) -> None:
    refused = from_http("ws://h", 503, b"", asked)
    assert isinstance(refused, RetryableError)
    assert refused.retry_in == MAX_RETRY_IN


@pytest.mark.parametrize("number", ["-1", "9" * 400, "1.5", "true"])
def test_counters_of_a_server_are_bounded(number: str) -> None:
    for text in (
        f'{{"type":"going_away","retry_after_ms":{number}}}',
        f'{{"type":"status","symbol":"A","state":"live","age_ms":{number}}}',
    ):
        with pytest.raises(ValueError, match=r"Expected `int`|out of range"):
            messages.decode(text)


def test_a_flood_of_pings_does_not_keep_a_watch_from_ending(tmp_path: Path) -> None:
    with flooding(upgraded, b"", PING) as port:
        server = f"ws://127.0.0.1:{port}"
        done = qcfeed(tmp_path, "watch", "AAPL", "MSFT", "--server", server, "--for", "2")
    assert done.returncode == 0, done.stderr
