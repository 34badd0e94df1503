"""Readers of every pace and fate over several logs, in every order that chance finds.

The model of a reader is its transport: it takes a number of bytes and is then full until it drains,
as the service's connections do. The model of the service is its flush: gather from the logs that
have news, deliver, disconnect the doomed.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from qcfeed.core import fanout, messages
from qcfeed.core.broadcast import Log, Subscriber
from qcfeed.core.fates import Backlog, Fate
from qcfeed.core.messages import Tick
from qcfeed.core.symbol import Symbol
from tests.support.frames import quotes

SYMBOLS = [Symbol("A"), Symbol("B"), Symbol("C")]
TICK = Tick(1.0, 100, 1.5, 200, 1.25, "2024-03-20T02:15:00Z")
PIECE = 400
FRAME = 170
"""Bytes of one quote's frame here, at the most: with its `conflated` or `dropped`."""


class Peer:
    """A reader that takes ``room`` bytes before it is full; None: all there are."""

    def __init__(self, fate: Fate, limit: int, room: int | None) -> None:
        self.backlog = Backlog(fate, limit)
        self.held: dict[Symbol, Subscriber[Peer]] = {}
        self.room = room
        self.taken = 0
        self.full = False
        self.seen: dict[Symbol, int] = {}
        self.conflated = self.dropped = 0
        self.closed = False
        self.was_full = False
        self.longest_write = 0
        self.begun = b""
        """What the kernel has taken of a write whose rest is still to come."""
        self.most_unread = 0
        """Quotes that waited for it, at the most, since it had had everything."""

    @property
    def writable(self) -> bool:
        return not self.full

    def push(self, data: bytes) -> int:
        """As the kernel does: all, a part that may end amid a frame, or BlockingIOError."""
        assert not self.begun, "the rest was kept back"
        room = len(data) if self.room is None else self.room - self.taken
        if room <= 0:
            raise BlockingIOError
        if room < len(data):
            self.begun = data[:room]
            return room
        self.write(data)
        return len(data)

    def keep(self, rest: bytes, error: OSError | None) -> None:
        assert rest
        assert bool(self.begun) == (error is None), "it took a part, or nothing at all"
        whole, self.begun = self.begun + rest, b""
        self.write(whole)
        self.full = self.was_full = True

    def write(self, data: bytes) -> None:
        assert not self.full, "written to although it is full"
        assert data
        self.longest_write = max(self.longest_write, len(data))
        told_of = quotes(data)
        assert len(data) <= FRAME * len(told_of)
        for quote in told_of:
            symbol = Symbol(quote.symbol)
            if symbol in self.seen:
                told = quote.conflated + quote.dropped
                assert quote.seq == self.seen[symbol] + told + 1, "a quote is missing, untold"
            self.seen[symbol] = quote.seq
            self.conflated += quote.conflated
            self.dropped += quote.dropped
        self.taken += len(data)
        if self.room is not None and self.taken > self.room:
            self.full = self.was_full = True

    def drain(self) -> None:
        self.taken, self.full = 0, False
        lost = self.conflated + self.dropped
        fanout.refill(self, PIECE)
        if self.most_unread <= self.backlog.limit:
            assert self.conflated + self.dropped == lost, "lost although it was within its limit"
        if not self.full:
            self.most_unread = 0


FEW = 3
WHO = st.integers(0, FEW - 1)
ROOMS = st.sampled_from([0, FRAME, 600, None])


class FanOut(RuleBasedStateMachine):
    @initialize(
        limit=st.integers(2, 6),
        kinds=st.lists(st.tuples(st.sampled_from(Fate), ROOMS), min_size=FEW, max_size=FEW),
    )
    def begin(self, limit: int, kinds: list[tuple[Fate, int | None]]) -> None:
        self.limit = limit
        self.logs = {symbol: Log() for symbol in SYMBOLS}
        self.subscribers: dict[Symbol, set[Subscriber[Peer]]] = {each: set() for each in SYMBOLS}
        self.everybody = [Peer(fate, limit, room) for fate, room in kinds]
        self.gone_conflated = 0
        self.batch = 0
        """The most quotes of one symbol in one turn."""
        for peer in self.everybody:
            for symbol in SYMBOLS:
                self.hold(peer, symbol)

    @rule(who=WHO)
    def come_back(self, who: int) -> None:
        """One that was disconnected connects anew."""
        gone = self.everybody[who]
        if gone.closed:
            self.gone_conflated += gone.conflated
            peer = self.everybody[who] = Peer(gone.backlog.fate, self.limit, gone.room)
            self.hold(peer, SYMBOLS[0])
            self.flush([SYMBOLS[0]])

    @rule(who=WHO, symbol=st.sampled_from(SYMBOLS))
    def subscribe(self, who: int, symbol: Symbol) -> None:
        peer = self.everybody[who]
        if not peer.closed and symbol not in peer.held:
            peer.seen.pop(symbol, None)
            self.hold(peer, symbol)
            self.flush([symbol])

    def hold(self, peer: Peer, symbol: Symbol) -> None:
        subscriber = Subscriber(symbol, peer)
        self.logs[symbol].rewind(subscriber, snapshot=True)
        if not peer.writable:
            peer.backlog.behind += subscriber.lag
        peer.held[symbol] = subscriber
        self.subscribers[symbol].add(subscriber)

    @rule(who=WHO, symbol=st.sampled_from(SYMBOLS))
    def unsubscribe(self, who: int, symbol: Symbol) -> None:
        peer = self.everybody[who]
        if symbol in peer.held and len(peer.held) > 1:
            subscriber = peer.held.pop(symbol)
            self.subscribers[symbol].discard(subscriber)

    @rule(batches=st.lists(st.tuples(st.sampled_from(SYMBOLS), st.integers(1, 9)), min_size=1))
    def publish(self, batches: list[tuple[Symbol, int]]) -> None:
        before = {symbol: log.head for symbol, log in self.logs.items()}
        for symbol, count in batches:
            log = self.logs[symbol]
            for _ in range(count):
                log.append(messages.quote(symbol, TICK, "e", log.head + 1))
        self.batch = max(self.batch, *(log.head - before[s] for s, log in self.logs.items()))
        self.flush([symbol for symbol, _ in batches])

    @rule(count=st.integers(1, 3))
    def publish_a_few(self, count: int) -> None:
        self.publish([(SYMBOLS[0], count)])

    @rule(count=st.integers(1, 3))
    def publish_everything(self, count: int) -> None:
        self.publish([(symbol, count) for symbol in SYMBOLS])

    def flush(self, symbols: list[Symbol]) -> None:
        turn = fanout.Turn(PIECE)
        news = dict.fromkeys(symbols)
        give = turn.send if len(news) == 1 else turn.gather
        for symbol in news:
            give(self.logs[symbol], self.subscribers[symbol])
        turn.deliver()
        for peer in self.everybody:
            if peer.full:
                peer.most_unread = max(peer.most_unread, fanout.lag(peer))
        for peer in turn.doomed:
            assert peer.backlog.fate is Fate.DISCONNECT
            assert peer.most_unread > self.limit
            self.close(peer)

    def close(self, peer: Peer) -> None:
        peer.closed = True
        for symbol, subscriber in peer.held.items():
            self.subscribers[symbol].discard(subscriber)
        peer.held.clear()

    @rule(who=WHO)
    def drain(self, who: int) -> None:
        peer = self.everybody[who]
        if not peer.closed:
            peer.drain()

    @invariant()
    def who_can_take_more_has_had_everything(self) -> None:
        for peer in getattr(self, "everybody", ()):
            if peer.writable:
                assert fanout.lag(peer) == 0
                assert not peer.backlog.overrun

    @invariant()
    def who_keeps_up_loses_nothing_whatever_its_fate(self) -> None:
        for peer in getattr(self, "everybody", ()):
            if not peer.was_full:
                assert (peer.closed, peer.conflated, peer.dropped) == (False, 0, 0)

    @invariant()
    def what_was_skipped_is_counted_as_it_was_told(self) -> None:
        everybody = getattr(self, "everybody", ())
        for peer in everybody:
            assert peer.backlog.conflated == peer.conflated
            assert peer.backlog.dropped == peer.dropped
        if everybody:
            told = self.gone_conflated + sum(peer.conflated for peer in everybody)
            assert sum(log.conflated for log in self.logs.values()) == told

    @invariant()
    def memory_is_bounded(self) -> None:
        """Of each log no more is kept than one reader may leave unread, and a batch in one turn."""
        for log in getattr(self, "logs", {}).values():
            assert len(log) <= max(self.limit, self.batch) + 1
        for peer in getattr(self, "everybody", ()):
            most = PIECE + FRAME * max(self.limit + 1, self.batch)
            assert peer.longest_write <= most

    @invariant()
    def nothing_is_kept_while_everybody_keeps_up(self) -> None:
        if all(peer.writable for peer in getattr(self, "everybody", ())):
            for symbol, log in getattr(self, "logs", {}).items():
                assert len(log) == 0 or log.flushed < log.head or self.late(symbol)

    def late(self, symbol: Symbol) -> bool:
        """What a reader that has just drained had left is let go of in the next turn."""
        self.flush([symbol])
        return len(self.logs[symbol]) == 0


TestFanOut = FanOut.TestCase
