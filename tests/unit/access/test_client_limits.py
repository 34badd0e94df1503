"""What a client may use, and what is remembered of it."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from qcfeed.access import client_limits
from qcfeed.access.client_limits import (
    BURST_S,
    IDLE_MEMORY,
    UNLIMITED,
    UNLISTED_BURST,
    ClientLimits,
    ClientTable,
    ClientUsage,
)


def usage(**limits: float) -> ClientUsage:
    return ClientUsage("192.0.2.1", ClientLimits(**limits))  # type: ignore[arg-type]


def test_without_limits_nothing_is_refused():
    client = ClientUsage("127.0.0.1", UNLIMITED)
    for _ in range(10_000):
        assert client.connect(0.0) is None
        assert client.check_request(0.0) is None
        client.charge_request(0.0, 1)
        assert client.check_subscription("AAPL") is None
        assert client.open_feed(0.0) is None


def test_a_connection_above_the_limit_is_refused_until_another_has_ended():
    table = ClientTable(lambda _: ClientLimits(connections=2))
    clients = [table.enter("a") for _ in range(3)]
    assert (excess := clients[2].connect(0.0)) is not None
    assert excess.code == "client_connections"
    assert excess.wait > 0
    table.leave(clients[0], 0.0)
    assert clients[2].connect(0.0) is None
    assert table.enter("b").connect(0.0) is None


def test_new_connections_are_limited_per_second_after_a_burst():
    client = usage(connect_rate=5)
    client.connections = 1
    answers = [client.connect(0.0) for _ in range(int(5 * BURST_S) + 1)]
    assert answers[:-1] == [None] * int(5 * BURST_S)
    assert answers[-1] is not None
    assert (answers[-1].code, answers[-1].wait) == ("client_connect_rate", 0.2)
    assert client.connect(0.2) is None


def test_an_expensive_request_delays_the_next_one():
    client = usage(request_rate=10)
    assert client.check_request(0.0) is None
    client.charge_request(0.0, 10 * BURST_S + 50)
    assert (excess := client.check_request(0.0)) is not None
    assert (excess.code, round(excess.wait, 3)) == ("client_request_rate", 5.1)
    assert client.check_request(5.2) is None


def test_subscriptions_and_different_symbols_are_limited():
    client = usage(subscriptions=3, symbols=2)
    for symbol in ("AAPL", "AAPL", "MSFT"):
        assert client.check_subscription(symbol) is None
        client.subscribe(symbol)
    assert client.check_subscription("AAPL").code == "client_subscriptions"  # type: ignore[union-attr]
    client.unsubscribe("AAPL")
    assert client.check_subscription("TSLA").code == "client_symbols"  # type: ignore[union-attr]
    assert client.check_subscription("AAPL") is None
    client.unsubscribe("AAPL")
    assert client.check_subscription("TSLA") is None
    client.unsubscribe("MSFT")
    assert (client.subscriptions, client.symbols) == (0, 0)


def test_feeds_of_symbols_that_may_not_exist_are_limited_without_any_option():
    client = ClientUsage("127.0.0.1", UNLIMITED)
    opened = [client.open_unlisted(0.0) for _ in range(int(UNLISTED_BURST) + 1)]
    assert opened[:-1] == [None] * int(UNLISTED_BURST)
    assert opened[-1] is not None
    assert opened[-1].code == "client_feed_rate"
    assert client.open_feed(0.0) is None


def test_wrong_keys_are_limited_per_second_after_a_burst():
    usage = ClientUsage("a", ClientLimits(denial_rate=1))
    for _ in range(10):
        assert usage.check_authentication(0) is None
        usage.charge_denial(0)
    excess = usage.check_authentication(0)
    assert (excess.code, round(excess.wait, 3)) == ("client_denial_rate", 1.0)
    assert not usage.has_recovered(5)
    assert usage.check_authentication(1.1) is None
    unlimited = ClientUsage("a", UNLIMITED)
    unlimited.charge_denial(0)
    assert unlimited.check_authentication(0) is None
    assert unlimited.has_recovered(0)


def test_a_client_that_used_little_is_forgotten_at_once():
    table = ClientTable(lambda _: ClientLimits(connections=5))
    table.leave(table.enter("a"), 0.0)
    assert len(table) == 0


def test_a_client_cannot_reset_its_rate_by_disconnecting():
    table = ClientTable(lambda _: ClientLimits(connect_rate=1))
    refused = 0
    for _ in range(20):
        client = table.enter("a")
        refused += client.connect(1.0) is not None
        table.leave(client, 1.0)
    assert refused == 10
    assert len(table) == 1
    other = table.enter("b")
    table.leave(other, 1.0 + IDLE_MEMORY)
    assert len(table) == 0


def test_any_number_of_addresses_grows_the_table_to_a_bound(monkeypatch):
    monkeypatch.setattr(client_limits, "MAX_IDLE", 100)
    table = ClientTable(lambda _: ClientLimits(connect_rate=1))
    for number in range(1_000):
        client = table.enter(str(number))
        client.connect(0.0)
        table.leave(client, 0.0)
    assert len(table) <= 101


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.floats(0, 100)), max_size=60))
def test_the_table_counts_exactly_the_open_connections(steps: list[tuple[str, bool, float]]):
    table = ClientTable(lambda _: ClientLimits(connect_rate=1))
    open_ones: list[ClientUsage] = []
    now = 0.0
    for name, opens, passed in steps:
        now += passed
        if opens:
            open_ones.append(table.enter(name))
            open_ones[-1].connect(now)
        elif open_ones:
            table.leave(open_ones.pop(0), now)
        counted = Counter(each.name for each in open_ones)
        assert {each.name: each.connections for each in open_ones} == dict(counted)
        assert len({id(each) for each in open_ones}) == len(counted)
        assert len(table) <= 3
