"""The status page of a real service: who gets it, with which headers, and what a real browser shows."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from qcfeed.errors import ConfigError
from qcfeed.server.page import ASSETS, CONTENT_PATH
from qcfeed.status_page import source
from tests.integration.service.conftest import FAR, Start
from tests.support.access import write
from tests.support.browser import page
from tests.support.patience import PATIENCE
from tests.support.running_service import Running

FILES = [
    "/",
    *(f"/page/{path.name}" for path in sorted(ASSETS.iterdir()) if path.suffix != ".html"),
]
GET = b"GET %s HTTP/1.1\r\n%s\r\n\r\n"


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A viewer waits for as long as a busy machine takes for the first answer."""
    monkeypatch.setattr(source, "WAIT", PATIENCE)


async def get(url: str, **headers: str) -> tuple[int, dict[str, str], str]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, dict(answer.headers), await answer.text()


async def content(running: Running, **headers: str) -> tuple[int, dict[str, Any]]:
    status, _, body = await get(running.http + CONTENT_PATH, **headers)
    return status, json.loads(body)


# ------------------------------------------------------------ what is served


async def test_without_the_option_there_is_no_page(running: Running) -> None:
    for path in (*FILES, CONTENT_PATH):
        status, _, _body = await get(running.http + path)
        assert status == 404
    assert "--page" in (await get(f"{running.http}/"))[2]
    assert running.service.listening.page is None


async def test_the_page_and_its_files_come_from_here_with_strict_headers(start: Start) -> None:
    running = await start(page=True)
    assert running.service.listening.page == f"{running.http}/"
    for path in (*FILES, CONTENT_PATH):
        status, headers, body = await get(running.http + path)
        assert status == 200, path
        policy = dict(
            part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";")
        )
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["require-trusted-types-for"] == "'script'"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", body), (
            "nothing of another host"
        )
    markup = (await get(f"{running.http}/"))[2]
    assert re.findall(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|<style", markup) == []
    assert (await get(f"{running.http}/page/../service/app.py"))[0] == 404


async def test_the_content_is_one_answer_for_all_viewers(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "INTERVAL", FAR)
    running = await start(page=True)
    client = await running.client()
    answers = [await content(running) for _ in range(3)]
    assert {each["taken_at"] for _, each in answers} == {answers[0][1]["taken_at"]}
    _, first = answers[0]
    assert first["instance"] == str(running.port)
    assert first["feed_table"]["rows"][0][0]["text"] == "AAPL"
    assert first["subscriber_table"]["rows"][0][0]["text"].startswith("127.0.0.1:")
    await client.leave()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_it_is_read_only(start: Start, method: str) -> None:
    running = await start(page=True)
    async with aiohttp.ClientSession() as session:
        for path in ("/", CONTENT_PATH):
            async with session.request(method, running.http + path) as answer:
                assert answer.status == 405


# ------------------------------------------------------------ who gets it


async def test_another_site_cannot_read_it(start: Start) -> None:
    """Neither a page of another site, nor one whose name leads here (DNS rebinding)."""
    running = await start(page=True)
    for path in ("/", CONTENT_PATH):
        for header in (b"Host: evil.com", b"Host: localhost\r\nOrigin: http://evil.com"):
            assert (await running.exchange(GET % (path.encode(), header)))[0] == 403
    for site in ("cross-site", "same-site"):
        assert (await content(running, **{"Sec-Fetch-Site": site}))[0] == 403
    for site in ("same-origin", "none"):
        assert (await content(running, **{"Sec-Fetch-Site": site}))[0] == 200


async def test_on_the_port_of_admin_listen_it_is_protected_too(start: Start) -> None:
    running = await start(page=True, admin_listen="127.0.0.1:0")
    own = f"http://{running.service.listening.admin}"
    assert running.service.listening.page == f"{own}/"
    assert (await get(own + CONTENT_PATH))[0] == 200
    assert (await get(own + CONTENT_PATH, Host="evil.com"))[0] == 403
    assert (await get(own + CONTENT_PATH, Origin="http://evil.com"))[0] == 403


@pytest.mark.parametrize("trusted", ["", "127.0.0.1"])
@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
async def test_without_a_token_a_proxy_does_not_open_it_to_others(
    start: Start, trusted: str, header: str
) -> None:
    running = await start(page=True, trusted_proxy=trusted)
    value = "for=203.0.113.7" if header == "Forwarded" else "203.0.113.7"
    status, refusal = await content(running, **{header: value})
    assert (status, refusal["code"]) == (403, "not_allowed")
    assert "--page-token-file" in refusal["hint"]
    assert (await content(running))[0] == 200


async def test_the_token_is_demanded_and_followed(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "token"
    write(file, b"first\n")
    running = await start(page=True, page_token_file=str(file))
    for path in FILES:
        assert (await get(running.http + path))[0] == 200, "the form for the token is for everybody"
    for wrong in ({}, {"Authorization": "Bearer firs"}, {"Authorization": "Basic first"}):
        status, headers, body = await get(running.http + CONTENT_PATH, **wrong)
        assert (status, headers["WWW-Authenticate"][:6]) == (401, "Bearer")
        assert set(json.loads(body)) <= {"schema", "code", "message", "hint", "loop_stack"}
    assert (await content(running, Authorization="Bearer first"))[0] == 200
    assert (
        await content(running, Authorization="Bearer first", **{"X-Forwarded-For": "203.0.113.7"})
    )[0] == 200
    write(file, b"second\n")
    assert (await content(running, Authorization="Bearer first"))[0] == 401
    assert (await content(running, Authorization="Bearer second"))[0] == 200


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"host": "0.0.0.0"}, "needs --page-token-file"),
        ({"host": "::"}, "needs --page-token-file"),
        ({"admin_listen": "10.0.0.1:9006"}, "needs --page-token-file"),
        ({"admin_listen": "[2001:db8::1]:9006"}, "needs --page-token-file"),
        ({"reuse_port": True}, "needs --admin-listen"),
        ({"workers": 2}, "needs --admin-listen"),
        ({"page": False, "page_token_file": "token"}, "--page is not given"),
    ],
)
async def test_a_service_does_not_start_with_a_page_for_everybody(
    start: Start, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        await start(**({"page": True} | options))


# ------------------------------------------------------------ a real browser


async def test_chromium_shows_the_leak_and_says_when_the_service_stops(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qcfeed.observe.tracker.DIAGNOSIS_INTERVAL", 0.5)
    running = await start(page=True, drill="zombie-feeds=40", upstream="sim:?rate=20")
    client = await running.client()
    async with page(f"{running.http}/", tmp_path / "profile") as tab:
        await tab.size(360, 800)
        await tab.until("document.getElementById('kind').textContent === 'LEAK'")
        assert re.search(
            r"LEAK\s+40 tasks from qcfeed/drills/zombies\.py:\d+ are orphaned",
            await tab.text("#headline"),
        )
        assert "create_task(self._generate_quotes" in await tab.text("#first")
        assert f"qcfeed --instance {running.port} orphans --reap" in await tab.text("#first")
        assert "AAPL" in await tab.text("#feeds tbody")
        assert (await tab.value("document.title")).startswith("LEAK")
        await tab.until("document.body.className === 'live'")
        for width in (360, 1280):
            await tab.size(width, 800)
            assert await tab.value("document.documentElement.scrollWidth") <= width, (
                "nothing is cut off"
            )
        await _reaches_everything_with_the_keyboard(tab)
        assert tab.console == [], "no error, and no violation of the policy"
        await client.leave()
        await asyncio.wait_for(running.service.stop(), PATIENCE)
        await tab.until("document.body.className === 'lost'")
        assert re.match(
            r"NO ANSWER\s+for [\dms]+; the last answer is of \d\d:\d\d:\d\d UTC",
            await tab.text("#lost"),
        )
        assert "qcfeed --instance" in await tab.text("#lost-next")
        assert (await tab.value("document.title")).startswith("NO ANSWER")
        assert await tab.value("document.getElementById('verdict').className.trim()") == "card"


async def _reaches_everything_with_the_keyboard(tab: Any) -> None:
    focused = []
    for _ in range(9):
        await tab.press("Tab")
        focused.append(await tab.value("document.activeElement.textContent"))
    for name in ("Skip to the verdict", "Tasks", "Feeds", "Subscribers", "Timeline"):
        assert name in focused
    await tab.value("document.querySelector('.skip').focus()")
    await tab.press("Enter")
    assert await tab.until("document.activeElement.id") == "verdict"


async def test_chromium_asks_for_the_token_and_keeps_it_in_its_tab(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "INTERVAL", 0.2)
    write(tmp_path / "token", b"a-token\n")
    running = await start(page=True, page_token_file=str(tmp_path / "token"))
    async with page(f"{running.http}/", tmp_path / "profile") as tab:
        await tab.until(
            "!document.getElementById('entry').hidden && document.activeElement.id === 'token'"
        )
        assert await tab.value("document.getElementById('page').hidden")
        await tab.type("wrong")
        await tab.press("Enter")
        await tab.until("document.getElementById('entry-why').textContent.includes('refuses')")
        await tab.type("a-token")
        await tab.press("Enter")
        await tab.until("document.body.className === 'live'")
        assert await tab.value("document.cookie") == ""
        assert await tab.value("location.href") == f"{running.http}/"
        await tab.reload()
        await tab.until("document.body.className === 'live'")
        await tab.value("document.getElementById('forget').click()")
        await tab.until("!document.getElementById('entry').hidden")
        assert await tab.value("sessionStorage.length") == 0


async def test_chromium_takes_hostile_text_for_text(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a task is called: nothing is parsed as markup, and nothing runs."""
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>'\"&amp;${1}</td></table>"
    monkeypatch.setattr(source, "INTERVAL", 0.2)
    running = await start(page=True)
    original = source.PageSource._look

    def hostile(self: source.PageSource) -> bytes:
        told = json.loads(original(self))
        told["conclusion"] = {"text": f"LEAK  {evil}", "tone": "bad"}
        told["identity"] = evil
        told["notes"] = [{"text": evil, "tone": "watch"}]
        told["findings"] = told["to_recheck"] = [
            {
                "headline": evil,
                "tone": "bad",
                "cause": evil,
                "facts": [[evil, evil]],
                "next": [evil],
            }
        ]
        cell = {"text": evil, "tone": "plain", "trend": []}
        for name in ("location_table", "feed_table", "subscriber_table"):
            columns = told[name]["columns"]
            told[name] |= {"rows": [[cell] * len(columns)], "about": evil}
        told["checked"] = [[evil, evil]]
        return json.dumps(told).encode()

    monkeypatch.setattr(source.PageSource, "_look", hostile)
    async with page(f"http://127.0.0.1:{running.port}/", tmp_path / "profile") as tab:
        await tab.until("document.body.className === 'live'")
        assert evil in await tab.text("#said")
        for selector in (
            "#identity",
            "#notes",
            "#first",
            "#tasks tbody",
            "#feeds tbody",
            "#checks",
        ):
            assert "<img src=x onerror=alert(1)>" in await tab.text(selector)
        assert await tab.value("document.querySelectorAll('main img, main script').length") == 0
        assert tab.console == []
