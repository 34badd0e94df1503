"""How long a service has to let go."""

from __future__ import annotations

from qcfeed.client.cycles import Mode
from qcfeed.client.repro import ReproPlan
from qcfeed.model.symbol import Symbol


def test_a_half_open_peer_takes_longer_to_be_rid_of_unless_a_person_says_how_long() -> None:
    plan = ReproPlan(symbol=Symbol("AAPL"), modes=[], cycles=1, concurrency=1)
    assert plan.patience(Mode.CLEAN) == plan.patience(Mode.QUIET) == 10
    assert plan.patience(Mode.HALF_OPEN) == 70
    told = ReproPlan(symbol=Symbol("AAPL"), modes=[], cycles=1, concurrency=1, settle=3)
    assert told.patience(Mode.HALF_OPEN) == told.patience(Mode.RUDE) == 3
