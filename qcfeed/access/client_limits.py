"""Counts what each client uses, and applies the limits per client.

A client is an address (client_address.py), or whoever has an API key. Time is an argument.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from qcfeed.access.rate_limit import TokenBucket

BURST_S = 10.0
"""A client that was idle for so many seconds may use at once what its rates allow for that time."""
MAX_IDLE = 10_000
"""Clients without a connection that are remembered. Beyond it, the one idle for longest is forgotten."""
UNLISTED_RATE, UNLISTED_BURST = 20.0, 400.0
"""New feeds per second and client whose symbols the upstream may not have.

Coinbase is asked for at most 80 such symbols per second (coinbase.py), so one client cannot keep the
others' waiting for long.
"""
IDLE_MEMORY = 60.0
"""Seconds for which a client without a connection is remembered."""


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """What one client may use; 0 means no limit. Rates are per second."""

    connections: int = 0
    connect_rate: float = 0.0
    request_rate: float = 0.0
    subscriptions: int = 0
    symbols: int = 0
    feed_rate: float = 0.0
    denial_rate: float = 0.0


UNLIMITED = ClientLimits()


@dataclass(frozen=True, slots=True)
class Excess:
    """Which limit a client has reached. ``code`` is for clients and metrics; ``wait``: seconds until
    it may succeed, or 0 if that depends on the client."""

    code: str
    message: str
    wait: float = 0.0


class ClientUsage:
    """What one client uses now. Its buckets are created on their first use, for the sake of memory."""

    __slots__ = (
        "_connects",
        "_denials",
        "_feeds",
        "_requests",
        "_symbols",
        "_unlisted",
        "connections",
        "idle_since",
        "limits",
        "name",
        "subscriptions",
    )

    def __init__(self, name: str, limits: ClientLimits) -> None:
        self.name = name
        self.limits = limits
        self.connections = 0
        self.subscriptions = 0
        self.idle_since = 0.0
        self._symbols: dict[str, int] | None = None
        """Subscriptions per symbol. Not kept if there is no limit of symbols."""
        self._connects: TokenBucket | None = None
        self._requests: TokenBucket | None = None
        self._feeds: TokenBucket | None = None
        self._unlisted: TokenBucket | None = None
        self._denials: TokenBucket | None = None

    @property
    def symbols(self) -> int:
        """Different symbols; 0 if they are not counted."""
        return len(self._held)

    @property
    def _held(self) -> Mapping[str, int]:
        return self._symbols or {}

    # ------------------------------------------------------------ connections

    def connect(self, now: float) -> Excess | None:
        """Charge a new connection, which is counted already."""
        limits = self.limits
        if limits.connections and self.connections > limits.connections:
            return Excess(
                "client_connections",
                f"{self.name} has the maximum of {limits.connections} open connections",
                wait=_RETRY,
            )
        if limits.connect_rate:
            if self._connects is None:
                self._connects = _bucket(limits.connect_rate, now)
            if not self._connects.take(now):
                return Excess(
                    "client_connect_rate",
                    f"{self.name} opens more than {limits.connect_rate:g} connections per second",
                    self._connects.wait(now),
                )
        return None

    # ------------------------------------------------------------ requests

    def check_request(self, now: float) -> Excess | None:
        """The excess, if there is not one token left for a request."""
        rate = self.limits.request_rate
        if rate and self._requests is None:
            self._requests = _bucket(rate, now)
        if self._requests is not None and (wait := self._requests.wait(now)):
            return Excess(
                "client_request_rate",
                f"{self.name} sends more than {rate:g} requests per second",
                wait,
            )
        return None

    def charge_request(self, now: float, cost: float) -> None:
        """Charge a request that was checked; later ones wait correspondingly longer."""
        if self._requests is not None:
            self._requests.charge(now, cost)

    # ------------------------------------------------------------ authentication

    def check_authentication(self, now: float) -> Excess | None:
        """The excess, if the client sent so many wrong keys and tokens that no further one is checked now."""
        if self._denials is None or not (wait := self._denials.wait(now)):
            return None
        rate = self.limits.denial_rate
        message = f"{self.name} sends more than {rate:g} wrong keys or tokens per second"
        return Excess("client_denial_rate", message, wait)

    def charge_denial(self, now: float) -> None:
        """Charge a wrong key or token."""
        if self.limits.denial_rate:
            if self._denials is None:
                self._denials = _bucket(self.limits.denial_rate, now)
            self._denials.charge(now, 1)

    # ------------------------------------------------------------ subscriptions

    def check_subscription(self, symbol: str) -> Excess | None:
        """The limit that one more subscription would exceed."""
        limits = self.limits
        if limits.subscriptions and self.subscriptions >= limits.subscriptions:
            return Excess(
                "client_subscriptions",
                f"{self.name} has the maximum of {limits.subscriptions} subscriptions",
            )
        if limits.symbols and self.symbols >= limits.symbols and symbol not in self._held:
            return Excess(
                "client_symbols", f"{self.name} has the maximum of {limits.symbols} symbols"
            )
        return None

    def subscribe(self, symbol: str) -> None:
        """Count one more subscription."""
        self.subscriptions += 1
        if self.limits.symbols:
            if self._symbols is None:
                self._symbols = {}
            self._symbols[symbol] = self._symbols.get(symbol, 0) + 1

    def unsubscribe(self, symbol: str) -> None:
        """Count one subscription less."""
        self.subscriptions -= 1
        if self._symbols is not None:
            left = self._symbols[symbol] - 1
            if left:
                self._symbols[symbol] = left
            else:
                del self._symbols[symbol]

    def open_feed(self, now: float) -> Excess | None:
        """Charge a feed that is opened for this client."""
        rate = self.limits.feed_rate
        if not rate:
            return None
        if self._feeds is None:
            self._feeds = _bucket(rate, now)
        if self._feeds.take(now):
            return None
        return Excess(
            "client_feed_rate",
            f"{self.name} opens more than {rate:g} feeds per second",
            self._feeds.wait(now),
        )

    def open_unlisted(self, now: float) -> Excess | None:
        """Charge a feed whose symbol the upstream may not have: a limit applies to every client."""
        if self._unlisted is None:
            self._unlisted = unlisted_feeds(now)
        return take_unlisted(self._unlisted, self.name, now)

    @property
    def is_shared(self) -> bool:
        """Whether many programs may have this address: no limit applies to them together."""
        return self.limits == UNLIMITED

    def has_recovered(self, now: float) -> bool:
        """Whether forgetting this client would give it nothing: all its buckets are full."""
        buckets = (self._connects, self._requests, self._feeds, self._unlisted, self._denials)
        return all(each is None or each.is_full(now) for each in buckets)


def unlisted_feeds(now: float) -> TokenBucket:
    """The feeds that one client may open of symbols that the upstream may not have."""
    return TokenBucket(UNLISTED_RATE, UNLISTED_BURST, now)


def take_unlisted(feeds: TokenBucket, who: str, now: float) -> Excess | None:
    """Take one of these feeds."""
    if feeds.take(now):
        return None
    what = f"{who} opens more than {UNLISTED_RATE:g} feeds of unknown symbols per second"
    return Excess("client_feed_rate", what, feeds.wait(now))


_RETRY = 5.0
"""Seconds after which a client with too many connections is told to try again."""


def _bucket(rate: float, now: float) -> TokenBucket:
    return TokenBucket(rate, max(1.0, rate * BURST_S), now)


class ClientTable:
    """The clients that have a connection, and those that had one a short while ago. All costs are O(1).

    ``limits``: returns the limits of a client by its name.
    """

    def __init__(self, limits: Callable[[str], ClientLimits]) -> None:
        self._limits = limits
        self._active: dict[str, ClientUsage] = {}
        self._idle: OrderedDict[str, ClientUsage] = OrderedDict()
        """Those without a connection, longest first."""

    def __len__(self) -> int:
        return len(self._active) + len(self._idle)

    def enter(self, name: str) -> ClientUsage:
        """Count one more connection of the client."""
        usage = self._active.get(name)
        if usage is None:
            usage = self._idle.pop(name, None) or ClientUsage(name, self._limits(name))
            self._active[name] = usage
        usage.connections += 1
        return usage

    def leave(self, usage: ClientUsage, now: float) -> None:
        """Count one connection less; forgets clients that have been idle for long."""
        usage.connections -= 1
        if usage.connections:
            return
        del self._active[usage.name]
        if not usage.has_recovered(now):
            usage.idle_since = now
            self._idle[usage.name] = usage
        self._forget(now)

    def _forget(self, now: float) -> None:
        # Two per call: one is added at most, so it shrinks again, and no call takes long.
        for _ in range(2):
            oldest = next(iter(self._idle.values()), None)
            if oldest is None:
                return
            if len(self._idle) <= MAX_IDLE and now - oldest.idle_since < IDLE_MEMORY:
                return
            self._idle.popitem(last=False)
