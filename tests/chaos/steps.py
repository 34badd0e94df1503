"""The steps of the walk. Each changes the world and the model alike; `world.check` compares them afterwards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from qcfeed.control.routes import (  # fmt: skip
    DRILLS_START,
    DRILLS_STOP,
    FEEDS_CANCEL,
    REAP,
    SUBSCRIBERS,
    SUBSCRIBERS_KICK,
)
from qcfeed.model.drills import DrillStarted, DrillStopped, StartDrillRequest, StopDrillRequest
from qcfeed.model.feeds import CancelFeedsRequest, CancelledFeeds
from qcfeed.model.messages import CloseCode
from qcfeed.model.orphans import Reaped, ReapRequest
from qcfeed.model.subscribers import Kicked, KickRequest, Subscribers
from tests.chaos.clients import Client
from tests.chaos.reader import LIVE
from tests.chaos.world import LOST, SILENT, ZOMBIES, World
from tests.support.raw_websocket import CLOSE, RawClient, close, frame, head

Step = Callable[[World], Awaitable[str]]
"""Takes a step and says which; an empty text means that it does not apply now."""
MOST_CLIENTS = 12
_HOUR = 3_600.0
GARBAGE = {
    b"\x82\x80\x00\x00\x00\x00": 1003,  # a binary message
    b"\x81\x05hello": 1002,  # not masked
    b"\xf1\x80\x00\x00\x00\x00": 1002,  # reserved bits
    b"\x81\x81\x00\x00\x00\x00\xff": 1007,  # not UTF-8
    frame(0x1, b" " * 70_000): 1009,  # larger than --max-message-size
}
"""Frames that end a connection, and the code of the close frame that answers them."""


async def connect_stream(world: World) -> str:
    return await _connect(world, "/stream")


async def connect_quotes(world: World) -> str:
    symbol = world.chance.choice(world.universe)
    return await _connect(world, f"/quotes/{symbol}", symbol)


async def _connect(world: World, path: str, *symbols: str) -> str:
    if len(world.clients) >= MOST_CLIENTS:
        return ""
    raw = await world.running.client(path, receive_buffer=4_096)
    world.names += 1
    client = Client(f"client {world.names}", raw, set(symbols), single=bool(symbols))
    client.reader.begin(*symbols)
    world.clients.append(client)
    return f"{client.name} connects to {path}"


async def subscribe(world: World) -> str:
    client = _any(world, single=False)
    if client is None:
        return ""
    symbols = world.some()
    await client.ask("subscribe", *symbols)
    return f"{client.name} subscribes to {' '.join(symbols)}"


async def unsubscribe(world: World) -> str:
    client = _any(world, single=False)
    if client is None or not client.symbols:
        return ""
    symbols = world.chance.sample(sorted(client.symbols), world.chance.randint(1, len(client.symbols)))  # fmt: skip
    await client.ask("unsubscribe", *symbols)
    return f"{client.name} unsubscribes from {' '.join(symbols)}"


async def pause(world: World) -> str:
    client = _any(world)
    if client is None:
        return ""
    client.pause()
    return f"{client.name} stops reading"


async def resume(world: World) -> str:
    paused = [each for each in world.clients if each.paused]
    if not paused:
        return ""
    client = world.chance.choice(paused)
    client.resume()
    return f"{client.name} reads again"


async def leave(world: World) -> str:
    if not world.clients:
        return ""
    client = world.chance.choice(world.clients)
    world.clients.remove(client)
    how = world.chance.choice(["with a close frame", "without one", "with a reset"])
    if how == "with a reset":
        client.raw.reset()
    elif how == "with a close frame" and not client.paused:
        client.raw.send(close(1000))
        assert (await client.raw.closing()).code == 1000
    await client.raw.leave()
    return f"{client.name} leaves {how}"


async def garbage_frame(world: World) -> str:
    client = _any(world)
    if client is None:
        return ""
    raw, code = world.chance.choice(sorted(GARBAGE.items()))
    client.raw.send(raw)
    world.clients.remove(client)
    closing = await client.raw.closing()
    assert closing.code == code, f"{raw[:20]!r} was answered with {closing.code}, not {code}"
    client.raw.send(frame(CLOSE, closing.payload[:2]))
    await client.raw.leave()
    return f"{client.name} sends {raw[:20]!r}"


async def garbage_request(world: World) -> str:
    client = _any(world)
    if client is None:
        return ""
    text = world.chance.choice(["{", "[" * 5_000, '{"action":"fly"}', '{"action":"subscribe","symbols":["../x"]}'])  # fmt: skip
    client.raw.send(frame(0x1, text.encode()))
    said = await client.error()
    return f"{client.name} sends {text[:30]!r}: {said}"


async def garbage_head(world: World) -> str:
    raw = await RawClient.connect(world.running.port)
    junk = world.chance.choice([b"\x16\x03\x01\x02\x00", b"GET /quotes/" + b"A" * 20_000, b"\0" * 100, head("/quotes/..%2f"), head("/stream")[:40]])  # fmt: skip
    raw.send(junk)
    await raw.flush()
    raw.reset()
    await raw.leave()
    return f"a stranger sends {junk[:30]!r}"


async def cancel_feeds(world: World) -> str:
    symbols = world.some(2)
    asked = CancelFeedsRequest(symbols, force=True)
    cancelled = {row.symbol for row in (await _feeds(world, asked)).feeds}
    world.lost -= cancelled
    for client in world.clients:
        ended = client.symbols & cancelled
        client.symbols -= ended
        # The last symbol takes the connection with it; others are told with an error.
        if ended and not client.symbols:
            client.may_end_with.add(int(CloseCode.FEED_CANCELLED))
    _forget_closed(world)
    return f"an operator cancels {' '.join(sorted(cancelled)) or 'no feed'}"


async def _feeds(world: World, asked: CancelFeedsRequest) -> CancelledFeeds:
    # Others may be lingering, and gone before the request arrives.
    live = world.lost.union(*(each.symbols for each in world.clients))
    asked.symbols = [each for each in asked.symbols if each in live]
    if not asked.symbols:
        return CancelledFeeds(feeds=[])
    answer: CancelledFeeds = await world.control(lambda client: client.post(FEEDS_CANCEL, asked, CancelledFeeds))  # fmt: skip
    return answer


def _forget_closed(world: World) -> None:
    """Paused clients whose connection the service has closed count no more; those that read see it."""
    for client in [each for each in world.clients if each.paused and each.may_end_with]:
        world.clients.remove(client)
        client.raw.reset()


async def kick(world: World) -> str:
    if not world.clients:
        return ""
    client = world.chance.choice(world.clients)
    rows = await world.control(lambda asked: asked.get(SUBSCRIBERS, Subscribers))
    (row,) = [each for each in rows.subscribers if each.peer.endswith(f":{client.raw.port}")]
    client.may_end_with.add(int(CloseCode.KICKED))
    answer = await world.control(lambda asked: asked.post(SUBSCRIBERS_KICK, KickRequest(ids=[row.id], force=True, timeout_s=0.0), Kicked))  # fmt: skip
    assert answer.kicked == 1
    client.symbols.clear()
    _forget_closed(world)
    return f"an operator kicks {client.name}"


async def reap(world: World) -> str:
    answer: Reaped = await world.control(lambda client: client.post(REAP, ReapRequest(), Reaped))
    assert answer.survivors == []
    assert answer.subscriptions == len(world.lost)
    assert (answer.cancelled > 0) == world.zombies or world.drill == ZOMBIES
    world.zombies, world.lost = False, set()
    return f"an operator reaps {answer.cancelled} tasks, {answer.subscriptions} subscriptions"


async def start_drill(world: World) -> str:
    if world.drill is not None or world.zombies or world.lost:
        return ""
    drill = world.chance.choice([*SILENT, ZOMBIES, LOST])
    asked = StartDrillRequest(drill=drill, for_s=_HOUR)
    await world.control(lambda client: client.post(DRILLS_START, asked, DrillStarted))
    world.drill = drill
    if drill in SILENT:
        await world.until_all("stale")
    elif drill == ZOMBIES:
        world.zombies = True
    else:
        world.lost = set(world.universe[: int(drill.partition("=")[2])])
    return f"an operator starts the drill {drill}"


async def stop_drill(world: World) -> str:
    if world.drill is None:
        return ""
    was, world.drill = world.drill, None
    await world.control(lambda client: client.post(DRILLS_STOP, StopDrillRequest(), DrillStopped))
    world.zombies, world.lost = False, set()
    if was in SILENT:
        await world.until_all(LIVE)
    return f"an operator stops the drill {was}"


async def diagnose(world: World) -> str:
    found = await world.findings()
    if world.zombies:
        # An orphan counts once it is a few seconds old: a feed that is just closing has one too.
        while "zombies" not in found:
            found = await world.findings()
    elif world.drill != ZOMBIES:
        assert not found & {"zombies", "survivors", "incomplete_ledger"}, found
    if world.drill is None and not any(each.paused for each in world.clients):
        await world.until_all(LIVE)
    return f"an operator diagnoses: {', '.join(sorted(found)) or 'nothing'}"


def _any(world: World, *, single: bool | None = None) -> Client | None:
    """A client that reads, and that the service has no reason to close."""
    found = [each for each in world.awake() if single in (None, each.single) and not each.may_end_with]  # fmt: skip
    return world.chance.choice(found) if found else None


WEIGHTS: dict[Step, int] = {
    connect_stream: 6, connect_quotes: 5, subscribe: 8, unsubscribe: 5, pause: 3, resume: 3, leave: 4,
    garbage_frame: 3, garbage_request: 3, garbage_head: 3, cancel_feeds: 3, kick: 2, reap: 2, start_drill: 3,
    stop_drill: 2, diagnose: 1,
}  # fmt: skip
