"""A real browser, and Node's two WebSockets: subprotocols, and authentication by the first message."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from urllib.parse import unquote, urlencode, urlsplit

import pytest

from qcfeed.access import keys
from tests.docs.snippets import snippets
from tests.integration.service.conftest import Start
from tests.integration.service.test_real_clients import WS
from tests.support import loopback_http
from tests.support.access import stored, write_keys
from tests.support.browser import browser
from tests.support.loopback_http import reply
from tests.support.patience import PATIENCE

SUPPORT = Path(__file__).parents[2] / "support"
OURS = "qcfeed.v1.json"
KEY = keys.generate()


class Site:
    """Serves the page, and keeps what it reports."""

    def __init__(self) -> None:
        self.seen: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()

    def __call__(self, target: str, _headers: Message) -> Iterator[bytes]:
        parts = urlsplit(target)
        if parts.path == "/seen":
            self._loop.call_soon_threadsafe(self.seen.set_result, unquote(parts.query))
        page = SUPPORT / "browser_page.html"
        yield reply(page.read_bytes(), kind="text/html") if parts.path == "/" else reply(b"")


async def test_chromium_authenticates_and_gets_our_subprotocol(
    start: Start, tmp_path: Path
) -> None:
    write_keys(tmp_path / "keys.json", [stored("page", KEY, "AAPL")])
    site = Site()
    with loopback_http.serving(site) as origin:
        running = await start(keys=str(tmp_path / "keys.json"), allow_origin=origin)
        query = urlencode({"url": f"{running.ws}/stream", "token": KEY})
        async with browser(f"{origin}/?{query}", tmp_path / "profile"):
            seen = json.loads(await asyncio.wait_for(site.seen, PATIENCE))
    both, second, none, others = seen
    for each in (both, second):
        assert (each["opened"], each["protocol"]) == (True, OURS)
    assert (none["opened"], none["protocol"]) == (True, "")
    for each in (both, second, none):
        assert set(each["types"]) == {"authenticated", "subscribed", "quote"}
        assert each["code"] == 4321
    assert (others["opened"], others["code"]) == (False, 1006), "none of its protocols is ours"


@pytest.mark.parametrize("own", [True, False], ids=["node", "ws"])
async def test_subprotocols_in_node(start: Start, own: bool) -> None:
    node = shutil.which("node")
    if node is None or not (own or WS.exists()):
        pytest.skip("Node or npm's ws is not here: `bash scripts/system_parts.sh` installs it")
    running = await start()
    process = await asyncio.create_subprocess_exec(
        node, *(["--experimental-websocket"] if own else []),
        str(SUPPORT / "subprotocols.cjs"), "" if own else str(WS), f"{running.ws}/stream",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if b"bad option" in err:
        pytest.skip("this Node has no WebSocket of its own")
    # RFC 6455 leaves a protocol out that is not ours; both clients then end the connection themselves.
    expected = [f"chosen: {OURS}", f"chosen: {OURS}", "chosen: ", "ended"]
    assert json.loads(out or b"null") == expected, err.decode()


async def test_the_code_of_exposing_md_gets_quotes(start: Start, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not here: `bash scripts/system_parts.sh` installs it")
    [code] = [s.text for s in snippets("docs/how-to/exposing.md") if s.language == "js"]
    write_keys(tmp_path / "keys.json", [stored("page", KEY, "AAPL")])
    running = await start(keys=str(tmp_path / "keys.json"))
    code = code.replace("wss://quotes.example.com", running.ws)
    assert running.ws in code
    ended = "socket.onmessage = ({ data }) => { if (JSON.parse(data).type === 'quote') process.exit(7); };"
    process = await asyncio.create_subprocess_exec(
        node, "--experimental-websocket", "-e", f"const token = '{KEY}';\n{code}\n{ended}",
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        _, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if b"bad option" in err:
        pytest.skip("this Node has no WebSocket of its own")
    assert process.returncode == 7, err.decode()
