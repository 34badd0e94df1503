"""A few walks; `make chaos` takes more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qcfeed.feed import flush
from qcfeed.ws.connection import WebSocketConnection
from tests.chaos.walk import WalkError, walk

STEPS = 200


@pytest.mark.parametrize("seed", range(10))
async def test_the_service_and_the_model_agree_after_every_step(seed: int, tmp_path: Path) -> None:
    assert await walk(seed, STEPS, tmp_path) > STEPS / 2


async def test_subscriptions_that_outlive_their_connection_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = WebSocketConnection.connection_lost

    def forgetful(self: WebSocketConnection, exc: Exception | None) -> None:
        self.subscribers = {} if exc is not None else self.subscribers
        sound(self, exc)

    monkeypatch.setattr(WebSocketConnection, "connection_lost", forgetful)
    with pytest.raises(WalkError, match=r"(?s)seed 0, 200 steps: .*hub.subscriptions") as raised:
        await walk(0, STEPS, tmp_path)
    assert "client 1 connects to /" in str(raised.value), "the steps are listed"


async def test_a_status_that_is_lost_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = flush.send_status

    def lossy(subscriber: Any, log: Any, frame: bytes) -> None:
        if b'"live"' not in frame:
            sound(subscriber, log, frame)

    monkeypatch.setattr(flush, "send_status", lossy)
    with pytest.raises(WalkError, match="a quote while stale"):
        await walk(1, STEPS, tmp_path)
