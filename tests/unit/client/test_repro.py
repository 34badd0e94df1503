"""How long ``qcfeed repro`` waits for a service to release everything."""

from __future__ import annotations

from qcfeed.client.cycles import Mode
from qcfeed.client.repro import ReproPlan
from qcfeed.model.symbol import Symbol


def test_half_open_peers_have_a_longer_default_timeout() -> None:
    plan = ReproPlan(symbol=Symbol("AAPL"), modes=[], cycles=1, concurrency=1)
    assert plan.patience(Mode.CLEAN) == plan.patience(Mode.QUIET) == 10
    assert plan.patience(Mode.HALF_OPEN) == 70
    told = ReproPlan(symbol=Symbol("AAPL"), modes=[], cycles=1, concurrency=1, settle=3)
    assert told.patience(Mode.HALF_OPEN) == told.patience(Mode.RUDE) == 3
