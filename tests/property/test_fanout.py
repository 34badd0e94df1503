"""Subscribers of every pace and policy, held to what docs/reference/protocol.md promises a client's author.

The service's own hub, gateway, connections and transports run on a modelled kernel. The model here
knows none of their methods: it counts what was published while a client read nothing, and compares
that with what the client is told, message by message.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.symbol import Symbol
from tests.support.modelled_kernel import NEVER, Exchange, Peer, symbols, timeless, turns

SYMBOLS = list(symbols(3))
SEND_BUFFER = 4_608
MOST = 15
"""Maximum quotes of one symbol per turn."""
COUNTS = st.sampled_from([1, 1, 1, 2, 3, MOST])
REPLIES = 10
"""Maximum replies to a client that does not read; more would close its connection."""


class Client:
    """A client of /stream, and a model of what docs/reference/protocol.md promises it."""

    def __init__(
        self, peer: Peer, policy: SlowConsumerPolicy, limit: int, room: int | None
    ) -> None:
        self.peer = peer
        self.policies = {policy}
        """The policies since it last caught up; the current one is ``policy``."""
        self.policy = policy
        self.limit = limit
        self.room = room
        self.held: set[Symbol] = set()
        self.last: dict[str, int] = {}
        """The sequence number of each symbol's last quote since the subscription."""
        self.told_stale: set[str] = set()
        """The symbols whose last status since the subscription is not ``live``."""
        self.outstanding = 0
        """Quotes published since it had read everything; some may have been sent meanwhile."""
        self.waiting: Counter[Symbol] = Counter()
        """Quotes published while it read nothing at all."""
        self.exact = True
        """Whether it has done nothing since it was full: then the model knows what it will get."""
        self.too_far_behind = False
        self.replies = 0
        self.known = 0
        """Messages checked so far."""

    @property
    def gone(self) -> bool:
        return self.peer.close_code is not None

    def quotes_came(self, symbol: Symbol, count: int, *, while_full: bool) -> None:
        self.outstanding += count
        if while_full:
            self.waiting[symbol] += count

    def decide(self) -> None:
        """After publishing: beyond the limit, the policy applies to the unread quotes."""
        if sum(self.waiting.values()) > self.limit:
            self.too_far_behind = True

    def look(self) -> None:
        """Check every new message against the rules that always hold."""
        news, self.known = self.peer.messages[self.known :], len(self.peer.messages)
        for message in news:
            if message["type"] == "quote":
                assert message["symbol"] not in self.told_stale, (
                    "a quote follows `stale` without `live`"
                )
                self.hold_quote_to_the_rules(message)
            elif message["type"] == "status" and message["state"] == "live":
                self.told_stale.discard(message["symbol"])
            elif message["type"] == "status":
                self.told_stale.add(message["symbol"])
            elif (
                message["type"] == "subscribed"
            ):  # symbols that are missing were unsubscribed before
                self.last = {
                    each: self.last[each] for each in message["symbols"] if each in self.last
                }
                self.told_stale &= {*message["symbols"]}

    def hold_quote_to_the_rules(self, quote: dict[str, Any]) -> None:
        symbol, seq = quote["symbol"], quote["seq"]
        conflated, dropped = quote.get("conflated", 0), quote.get("dropped", 0)
        if symbol in self.last:
            expected = self.last[symbol] + conflated + dropped + 1
            assert seq == expected, "a quote is missing and nobody said so"
        self.last[symbol] = seq
        if conflated or dropped:
            assert self.outstanding > self.limit, "it lost quotes although it was within its limit"
            assert self.room is not None, "it lost quotes although it reads everything at once"
        assert not conflated or SlowConsumerPolicy.CONFLATE in self.policies
        assert not dropped or SlowConsumerPolicy.DROP_OLDEST in self.policies

    def caught_up(self) -> None:
        """The client has read everything: reset the model of unread quotes."""
        self.outstanding = self.replies = 0
        self.waiting.clear()
        self.exact, self.too_far_behind, self.policies = True, False, {self.policy}


class FanOut(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.exchange: Exchange | None = None
        self.clients: list[Client] = []
        self.published: Counter[Symbol] = Counter()
        self.stale: set[Symbol] = set()
        self.gone: list[Client] = []
        """Clients that were disconnected and have reconnected."""

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    @initialize(
        limit=st.sampled_from([2, 4, 8]),
        kinds=st.lists(
            st.tuples(st.sampled_from(SlowConsumerPolicy), st.sampled_from([0, 0, 170, 600, None])),
            min_size=3,
            max_size=3,
        ),
    )
    def begin(self, limit: int, kinds: list[tuple[SlowConsumerPolicy, int | None]]) -> None:
        self.limit = limit
        self.run(self.open(kinds))

    async def open(self, kinds: list[tuple[SlowConsumerPolicy, int | None]]) -> None:
        self.exchange = Exchange(timeless(max_lag=self.limit, send_buffer=SEND_BUFFER))
        for policy, room in kinds:
            self.clients.append(await self.connect(policy, room))

    async def connect(self, policy: SlowConsumerPolicy, room: int | None) -> Client:
        assert self.exchange is not None
        peer = self.exchange.connect(f"/stream?slow={policy}")
        client = Client(peer, policy, self.limit, room)
        await self.hold(client, SYMBOLS)
        peer.wire.room = room
        return client

    async def hold(self, client: Client, some: list[Symbol]) -> None:
        """Subscribe; the latest quote of each symbol is sent at once, or queued if the socket is full."""
        assert self.exchange is not None
        full = client.peer.is_full
        client.peer.say("subscribe", *some)
        for symbol in some:
            client.held.add(symbol)
            feed = self.exchange.hub.feeds[symbol]
            if feed.last_quote_at is not None and symbol not in self.stale:
                client.quotes_came(symbol, 1, while_full=full)
        await turns()
        self.settle(client)

    def settle(self, client: Client) -> None:
        """Clients that read everything read what the kernel had room for; check it."""
        if client.room is None:
            client.peer.read()
        client.look()
        if client.peer.is_up_to_date:
            client.caught_up()

    # ------------------------------------------------------------ what clients do

    @rule(
        who=st.integers(0, 2),
        what=st.one_of(st.sampled_from(SYMBOLS), st.sampled_from(SlowConsumerPolicy)),
    )
    def ask(self, who: int, what: Symbol | SlowConsumerPolicy) -> None:
        """Request to subscribe, to unsubscribe, or another policy."""
        client = self.clients[who]
        if client.gone or client.replies >= REPLIES:
            return
        client.replies += 1
        if isinstance(what, SlowConsumerPolicy):
            self.choose(client, what)
        elif what in client.held:
            self.unsubscribe(client, what)
        else:
            client.exact = client.exact and not client.too_far_behind
            self.run(self.hold(client, [what]))

    def unsubscribe(self, client: Client, symbol: Symbol) -> None:
        client.exact = client.exact and not client.peer.is_full
        client.peer.say("unsubscribe", symbol)
        self.settle(client)
        client.held.discard(symbol)
        client.waiting.pop(symbol, None)

    def choose(self, client: Client, policy: SlowConsumerPolicy) -> None:
        client.exact = client.exact and not client.peer.is_full
        client.policy = policy
        client.policies.add(policy)
        client.peer.say("slow", policy=policy)
        self.settle(client)

    @rule(who=st.integers(0, 2), most=st.integers(1, 2_000))
    def read_a_little(self, who: int, most: int) -> None:
        client = self.clients[who]
        client.exact = client.exact and not client.peer.is_full
        client.peer.read(most)
        self.settle(client)

    @rule(who=st.integers(0, 2), symbol=st.sampled_from(SYMBOLS), count=st.integers(0, 9))
    def wait_and_read(self, who: int, symbol: Symbol, count: int) -> None:
        """A complete episode: all is read, the socket is full, quotes are unread, all is read again."""
        self.read_everything(who)
        for _ in range(count + 1):
            self.publish({symbol: 1})
        self.read_everything(who)

    @rule(who=st.integers(0, 2))
    def read_everything(self, who: int) -> None:
        client = self.clients[who]
        if client.peer.is_up_to_date:
            return
        before = client.known
        client.peer.drain()
        client.peer.wire.room = client.room
        self.hold_to_its_policy(client, before)
        client.look()
        if not client.gone:
            self.has_the_newest(client)
            assert client.peer.is_up_to_date
            client.caught_up()

    def hold_to_its_policy(self, client: Client, before: int) -> None:
        """A client beyond its limit gets exactly what docs/reference/protocol.md's table says."""
        if client.gone:
            assert client.peer.close_code == 4408
            assert SlowConsumerPolicy.DISCONNECT in client.policies
            assert client.outstanding > client.limit, "it was cut off although within its limit"
        elif client.exact and client.too_far_behind:
            assert client.policy is not SlowConsumerPolicy.DISCONNECT, (
                "it is too far behind and was not told to go"
            )
            for symbol, waited in client.waiting.items():
                told = [q for q in client.peer.quotes(before) if q["symbol"] == symbol]
                if client.policy is SlowConsumerPolicy.CONFLATE:
                    assert told[-1].get("conflated", 0) >= waited - 1
                else:
                    self.hold_to_its_share(client, waited, told)

    def hold_to_its_share(self, client: Client, waited: int, told: list[dict[str, Any]]) -> None:
        """The newest quotes, with the limit shared evenly; the first says how many were dropped."""
        share = max(1, client.limit // len(client.held))
        if waited > share:
            newest = told[-share:]
            assert newest[0].get("dropped", 0) >= waited - share
            assert not any("dropped" in each for each in newest[1:])

    def has_the_newest(self, client: Client) -> None:
        """With any policy, a client that has read everything knows each symbol's latest quote."""
        assert self.exchange is not None
        for symbol in client.held:
            if symbol in client.last or symbol not in self.stale:
                assert client.last.get(symbol, 0) == self.published[symbol]
            assert (symbol in client.told_stale) == (symbol in self.stale)

    @precondition(lambda self: any(client.gone for client in self.clients))
    @rule(who=st.integers(0, 2))
    def reconnect(self, who: int) -> None:
        """A disconnected client reconnects, as its close code says."""
        client = self.clients[who]
        if client.gone:
            self.gone.append(client)
            self.clients[who] = self.run(self.connect(client.policy, client.room))

    # ------------------------------------------------------------ what the upstream does

    @rule(symbol=st.sampled_from(SYMBOLS))
    def publish_one(self, symbol: Symbol) -> None:
        self.publish({symbol: 1})

    @rule()
    def publish_a_burst(self) -> None:
        """More quotes in one turn of the loop than fit into one write."""
        self.publish(dict.fromkeys(SYMBOLS, MOST))

    @rule(counts=st.dictionaries(st.sampled_from(SYMBOLS), COUNTS, min_size=1))
    def publish(self, counts: dict[Symbol, int]) -> None:
        assert self.exchange is not None
        here = [(client, client.peer.is_full) for client in self.clients if not client.gone]
        self.run(self.exchange.publish(counts))
        self.published.update(counts)
        self.stale -= {symbol for symbol in counts if symbol in self.exchange.hub.feeds}
        for client, was_full in here:
            came = {each: count for each, count in counts.items() if each in client.held}
            for symbol, count in came.items():
                client.quotes_came(symbol, count, while_full=was_full)
            if came and was_full:
                client.decide()
            self.settle(client)

    @rule(symbol=st.sampled_from(SYMBOLS))
    def fall_silent(self, symbol: Symbol) -> None:
        """No quote comes until the symbol is stale."""
        self.run(self.be_silent(symbol))
        for client in self.clients:
            if not client.gone:
                self.settle(client)

    async def be_silent(self, symbol: Symbol) -> None:
        assert self.exchange is not None
        feed = self.exchange.hub.feeds.get(symbol)
        if feed is not None and feed.lifecycle.subscribers and symbol not in self.stale:
            feed.staleness.updated_at -= 1.5 * NEVER
            feed.arm_timer()
            await turns()
            self.stale.add(symbol)

    # ------------------------------------------------------------ what holds at any time

    @invariant()
    def one_that_reads_everything_at_once_has_everything(self) -> None:
        for client in self.clients:
            if client.room is None:
                assert not client.gone
                assert client.peer.is_up_to_date

    @precondition(lambda self: self.exchange is not None)
    @invariant()
    def no_more_is_kept_than_one_subscriber_may_leave_unread(self) -> None:
        assert self.exchange is not None
        for feed in self.exchange.hub.feeds.values():
            assert len(feed.log) <= max(self.limit, MOST) + 1

    @precondition(lambda self: self.exchange is not None)
    @invariant()
    def what_is_counted_is_what_was_told(self) -> None:
        """Once all have read everything, counters and totals match the messages received."""
        everybody = [*self.clients, *self.gone]
        if self.exchange is None or not all(each.peer.is_up_to_date for each in everybody):
            return
        told = [quote for each in everybody for quote in each.peer.quotes()]
        hub = self.exchange.hub
        assert hub.delivered == len(told)
        assert hub.conflated == sum(quote.get("conflated", 0) for quote in told)
        assert hub.dropped == sum(quote.get("dropped", 0) for quote in told)
        for client in self.clients:
            connection = self.exchange.connection_of(client.peer)
            if connection is not None:
                told = client.peer.quotes()
                assert connection.backlog.conflated == sum(q.get("conflated", 0) for q in told)
                assert connection.backlog.dropped == sum(q.get("dropped", 0) for q in told)

    def teardown(self) -> None:
        if self.exchange is not None:
            self.run(self.exchange.stop())
        self.loop.close()


TestFanOut = FanOut.TestCase
TestFanOut.settings = settings(max_examples=300)
