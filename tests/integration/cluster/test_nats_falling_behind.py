"""A gateway whose readers take nothing for a while, on a real server: bounded, connected, and honest about it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from qcfeed.cluster.connection import connect
from qcfeed.cluster.intake import MOST_BYTES, MOST_PER_SYMBOL
from qcfeed.config import NatsConfig
from tests.support.nats_server import nats_server, needs_nats

pytestmark = needs_nats

SYMBOLS = 1_000
EACH = 100
PAYLOAD = 200


def test_a_thousand_symbols_at_once_behind_are_bounded_in_all_and_their_newest_quotes_stay(
    tmp_path: Path,
) -> None:
    async def fall_behind(url: str) -> None:
        gateway = await connect([url], NatsConfig(), "gateway")
        feeder = await connect([url], NatsConfig(), "feeder")
        subjects = [f"qc.q.S{number}" for number in range(SYMBOLS)]
        subscriptions = [await gateway.subscribe(each) for each in subjects]
        await gateway.request("nobody", b"", 10.0)  # the server has the subscriptions now
        for seq in range(EACH):
            for subject in subjects:
                await feeder.publish(subject, b"%0*d" % (PAYLOAD, seq))
        await feeder.publish(subjects[0], b"last")
        while (newest := subscriptions[0].newest) is None or newest != b"last":
            assert gateway.intake.waiting <= MOST_BYTES
            assert not gateway.lost
            await asyncio.sleep(0.01)
        assert SYMBOLS * EACH * PAYLOAD > MOST_BYTES, "it had to drop some"
        dropped = 0
        for each in subscriptions[1:]:
            batch = await each.batch()
            dropped += (own := each.take_dropped())
            assert batch[-1] == b"%0*d" % (PAYLOAD, EACH - 1)
            assert len(batch) + own == EACH, "every quote is accounted for"
            assert each.take_dropped() == 0
        assert dropped > 0
        assert gateway.slow_drops == 0
        await gateway.close()
        await feeder.close()

    with nats_server(tmp_path / "n1") as nats:
        asyncio.run(fall_behind(nats.url))


def test_one_symbol_keeps_no_more_than_are_served(tmp_path: Path) -> None:
    async def fall_behind(url: str) -> None:
        gateway = await connect([url], NatsConfig(), "gateway")
        subscription = await gateway.subscribe("qc.q.A")
        for seq in range(1_000):
            await gateway.publish("qc.q.A", b"%d" % seq)
        while subscription.newest != b"999":  # noqa: ASYNC110 - the connection has no event for it
            await asyncio.sleep(0.01)
        batch = await subscription.batch()
        assert batch == [b"%d" % seq for seq in range(1_000 - MOST_PER_SYMBOL, 1_000)]
        assert subscription.take_dropped() == 1_000 - MOST_PER_SYMBOL
        await subscription.end()
        assert gateway.intake.waiting == 0
        await gateway.close()

    with nats_server(tmp_path / "n1") as nats:
        asyncio.run(fall_behind(nats.url))
