"""A real Chromium, headless: started and stopped here, and driven over the DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.patience import PATIENCE

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_KEYS = {"Tab": 9, "Enter": 13}


@asynccontextmanager
async def browser(url: str, profile: Path, *options: str) -> AsyncIterator[None]:
    """A browser that shows ``url`` until the end of the block."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("Chromium is not here: `bash scripts/system_parts.sh` installs it")
    process = await asyncio.create_subprocess_exec(
        program, "--headless", "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}",
        "--disable-extensions",
        *(["--no-sandbox"] if os.geteuid() == 0 else []), *options, url,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the whole group: the program may be a shell script, whose end alone leaves the browser running."""
    group = process.pid
    _signal(group, signal.SIGTERM)
    await asyncio.wait_for(process.wait(), PATIENCE)
    try:
        async with asyncio.timeout(PATIENCE):
            while _signal(group, 0):  # noqa: ASYNC110 - not all of them are our children
                await asyncio.sleep(0.02)
    except TimeoutError:
        _signal(group, signal.SIGKILL)
        raise


def _signal(group: int, sent: int) -> bool:
    """Whether there was a process in the group."""
    try:
        os.killpg(group, sent)
    except ProcessLookupError:
        return False
    return True


class ProtocolError(AssertionError):
    """The browser refuses a command."""


class Page:
    """A tab. ``console``: what it logged, errors and violations of its policy too."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, session: str) -> None:
        self._socket = socket
        self._session = session
        self._numbers = itertools.count(1)
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.console: list[str] = []

    async def listen(self) -> None:
        """Take what the browser sends, until it is closed."""
        async for message in self._socket:
            told = message.json()
            if told.get("id") in self._replies:
                self._replies.pop(told["id"]).set_result(told)
            elif told.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
                self.console.append(str(told["params"]))

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        number = next(self._numbers)
        reply = self._replies[number] = asyncio.get_running_loop().create_future()
        command = {"id": number, "method": method, "params": params}
        await self._socket.send_json(
            command | ({"sessionId": self._session} if self._session else {})
        )
        told = await asyncio.wait_for(reply, PATIENCE)
        if "error" in told:
            raise ProtocolError(told["error"]["message"])
        return dict(told["result"])

    async def switch_to(self, target: str) -> None:
        """From now on, commands are for this tab."""
        told = await self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = told["sessionId"]

    async def value(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        told = await self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def reload(self) -> None:
        """Load the page again; returns when the new one is there, so nothing is asked of the old one."""
        await self.value("window.isOld = true")
        await self.send("Page.reload")
        await self.until("!window.isOld")

    async def _value_or_none(self, expression: str) -> Any:
        """``value``, or None if the browser replaced the page before it answered."""
        try:
            return await self.value(expression)
        except ProtocolError:
            return None

    async def until(self, expression: str) -> Any:
        """Wait until the expression is true; returns its value. While the page loads, it may fail."""
        tried = f"(() => {{ try {{ return {expression} }} catch {{ return false }} }})()"
        try:
            async with asyncio.timeout(PATIENCE):
                while not (found := await self._value_or_none(tried)):  # noqa: ASYNC110 - in another process
                    await asyncio.sleep(0.05)
        except TimeoutError:
            shown = await self.value("document.body.innerText")
            raise AssertionError(f"{expression}: not within {PATIENCE:g} s; {shown}") from None
        return found

    async def text(self, selector: str) -> str:
        """What a person reads there."""
        return str(await self.value(f"document.querySelector({selector!r}).innerText"))

    async def press(self, key: str) -> None:
        """Press a key: ``Tab``, ``Enter``."""
        code = _KEYS[key]
        typed = {"text": "\r"} if key == "Enter" else {}
        for event in ("keyDown", "keyUp"):
            await self.send(
                "Input.dispatchKeyEvent", type=event, key=key, code=key, windowsVirtualKeyCode=code,
                **(typed if event == "keyDown" else {}),
            )  # fmt: skip

    async def type(self, text: str) -> None:
        await self.send("Input.insertText", text=text)

    async def size(self, width: int, height: int) -> None:
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    async def scheme(self, name: str) -> None:
        """``light`` or ``dark``."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        await self.send("Emulation.setEmulatedMedia", features=features)

    async def screenshot(self, path: Path, *, whole: bool = True) -> None:
        told = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(told["data"]))


async def _address(file: Path) -> str:
    """Where the browser listens, which it writes to this file: a port and a path."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(FileNotFoundError, ValueError):
                port, path = (await asyncio.to_thread(file.read_text)).split()
                return f"ws://127.0.0.1:{port}{path}"
            await asyncio.sleep(0.05)


@asynccontextmanager
async def page(url: str, profile: Path) -> AsyncIterator[Page]:
    """A tab that shows ``url``."""
    async with browser("about:blank", profile, "--remote-debugging-port=0"):
        address = await _address(profile / "DevToolsActivePort")
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(address, max_msg_size=0) as socket,
        ):
            tab = Page(socket, "")
            listening = asyncio.create_task(tab.listen())
            try:
                targets = (await tab.send("Target.getTargets"))["targetInfos"]
                await tab.switch_to(
                    next(each["targetId"] for each in targets if each["type"] == "page")
                )
                for domain in ("Page", "Runtime", "Log"):
                    await tab.send(f"{domain}.enable")
                await tab.send("Page.navigate", url=url)
                yield tab
            finally:
                listening.cancel()
                await asyncio.wait([listening])
