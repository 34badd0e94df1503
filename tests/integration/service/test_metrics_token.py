"""A token for /metrics, from a file that may change."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from qcfeed.errors import ConfigError
from tests.integration.service.conftest import Start
from tests.support.access import write
from tests.support.running_service import Running


async def scraped(running: Running, path: str, authorization: str | None) -> int:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(running.http + path) as answer,
    ):
        body = await answer.text()
        assert ("qcfeed_connections" in body) == (path == "/metrics" and answer.status == 200)
        if answer.status == 401:
            assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
        return answer.status


async def test_metrics_demand_the_token_and_health_does_not(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "token"
    write(file, b"first-token\n")
    running = await start(metrics_token_file=str(file))
    for wrong in (
        None,
        "Bearer",
        "Bearer ",
        "Bearer first-toke",
        "Basic first-token",
        "first-token",
    ):
        assert await scraped(running, "/metrics", wrong) == 401
    assert await scraped(running, "/metrics", "Bearer first-token") == 200
    assert await scraped(running, "/metrics", "bearer first-token") == 200
    assert await scraped(running, "/livez", None) == 200
    assert await scraped(running, "/readyz", None) == 200
    write(file, b"second-token\n")
    assert await scraped(running, "/metrics", "Bearer first-token") == 401
    assert await scraped(running, "/metrics", "Bearer second-token") == 200
    file.unlink()
    assert await scraped(running, "/metrics", None) == 401
    assert await scraped(running, "/metrics", "Bearer second-token") == 200


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines", b"\xff\xfe"])
async def test_a_service_does_not_start_without_a_usable_token(
    start: Start, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "token"
    write(file, content)
    with pytest.raises(ConfigError, match="one line of text"):
        await start(metrics_token_file=str(file))


async def test_a_token_that_everybody_can_read_is_refused(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "token"
    write(file, b"a-token")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="every user on this machine can read it"):
        await start(metrics_token_file=str(file))
