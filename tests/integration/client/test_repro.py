"""``qcfeed repro`` against a small server that can be made to leak in various ways."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from aiohttp import web

from qcfeed.client import cycles
from qcfeed.client.cycles import Mode
from qcfeed.client.footprint import MEMORY_TOLERANCE
from qcfeed.client.repro import ModeResult, ReproPlan, ReproReport, reproduce
from qcfeed.errors import TimedOutError, UnknownSymbolError, UnreachableError, UsageError
from qcfeed.model import messages
from qcfeed.model.messages import Error
from qcfeed.model.symbol import Symbol
from tests.support.held import Held
from tests.support.patience import PATIENCE
from tests.support.running_service import until
from tests.support.scripted_server import Script, ScriptedServer, Visit, quote

DROPPED = f"{Mode.HALF_OPEN}: dropped by the server"


class Told:
    """Records what a progress bar would show."""

    def __init__(self) -> None:
        self.steps: Counter[str] = Counter()
        self.totals: dict[str, int] = {}
        self.dropping = asyncio.Event()
        """Set while the peers that are half open wait to be dropped."""
        self._phase = ""

    def phase(self, label: str, total: int) -> None:
        self._phase = label
        self.totals[label] = total
        if label == DROPPED:
            self.dropping.set()
        else:
            self.dropping.clear()

    def advance(self, steps: int) -> None:
        self.steps[self._phase] += steps


async def quoting(visit: Visit) -> None:
    """Send a quote at first, except for the symbol without quotes."""
    await visit.upgrade()
    if not visit.request.path.endswith("ZVZZT"):
        await visit.say(quote(1))
    await visit.stay()


async def stay_until(event: asyncio.Event, visit: Visit) -> None:
    """Until the client leaves, or drop it after the event: never before it has its quote."""
    staying, dropping = asyncio.create_task(visit.stay()), asyncio.create_task(event.wait())
    try:
        await asyncio.wait((staying, dropping), return_when=asyncio.FIRST_COMPLETED)
        if dropping.done():
            visit.cut()
    finally:
        for each in (staying, dropping):
            each.cancel()
        await asyncio.gather(staying, dropping, return_exceptions=True)


async def reproduced(
    server: ScriptedServer,
    held: Held,
    *modes: Mode,
    count: int = 20,
    settle: float = PATIENCE,
    progress: Told | None = None,
) -> ReproReport:
    plan = ReproPlan(symbol=Symbol("AAPL"), modes=modes, cycles=count, concurrency=4, settle=settle)
    return await reproduce(server.endpoint, held.status, plan, progress or Told())


async def only(server: ScriptedServer, held: Held, mode: Mode = Mode.CLEAN) -> ModeResult:
    (result,) = (await reproduced(server, held, mode, settle=0.5)).modes
    return result


async def test_a_server_that_releases_everything_passes_in_every_mode(
    server: ScriptedServer,
) -> None:
    async def script(visit: Visit) -> None:
        await visit.upgrade()
        if visit.request.path.endswith("AAPL"):
            await visit.say(quote(1))
        await stay_until(told.dropping, visit)

    server.script = script
    told = Told()
    report = await reproduced(server, Held(server), *Mode, progress=told)
    assert report.flat
    assert [result.mode for result in report.modes] == list(Mode)
    assert all(result.settled_s is not None for result in report.modes)
    assert told.steps["rude: cycles"] == told.totals["rude: cycles"] == 20
    assert told.steps[DROPPED] == 20
    closed = Counter(visit.socket.close_code for visit in server.visits)
    assert closed[1000] == 2 * 24, "clean and quiet, each with its warm-up, say goodbye"
    assert {visit.request.path for visit in server.visits} == {"/quotes/AAPL", "/quotes/ZVZZT"}


LEAKS: list[tuple[str, str]] = [
    ("tasks", "tasks +24"),  # 20, and 4 of the warm-up
    ("feeds", "feeds +24"),
    ("orphans", "orphans +24"),
]


async def test_an_incomplete_ledger_fails(
    server: ScriptedServer,
) -> None:
    held = Held(server)
    held.incomplete = ["cannot see 9 of 12 tasks: a reason"]
    server.script = quoting
    report = await reproduced(server, held, Mode.CLEAN, count=1, settle=0.5)
    assert report.modes[0].problems == held.incomplete
    assert not report.flat


@pytest.mark.parametrize(("name", "finding"), LEAKS)
async def test_each_kind_of_leak_is_found(server: ScriptedServer, name: str, finding: str) -> None:
    held = Held(server)

    async def script(visit: Visit) -> None:
        setattr(held, name, getattr(held, name) + 1)
        await quoting(visit)

    server.script = script
    result = await only(server, held)
    assert result.problems == [finding]
    assert result.settled_s is None
    assert not (await reproduced(server, held, Mode.RUDE, count=1, settle=0.1)).flat


async def test_connections_that_stay_are_found(server: ScriptedServer) -> None:
    let_go = asyncio.Event()

    async def script(visit: Visit) -> None:
        await quoting(visit)
        await let_go.wait()

    server.script = script
    result = await only(server, Held(server, busy=True), Mode.RUDE)
    let_go.set()
    assert result.problems == ["tasks +24", "subscriptions +24", "connections +24"]


async def test_memory_that_grew_with_the_cycles_is_found(server: ScriptedServer) -> None:
    held = Held(server)

    async def script(visit: Visit) -> None:
        if visit.number >= 4:  # the warm-up sets the baseline of memory
            held.resident_bytes += 2**20
        await quoting(visit)

    server.script = script
    result = await only(server, held)
    assert result.memory_tolerance_bytes > MEMORY_TOLERANCE
    assert result.problems == ["memory +20.0 MiB, tolerance 16.0 MiB"]


async def test_a_restarted_service_fails(server: ScriptedServer) -> None:
    held = Held(server)

    async def script(visit: Visit) -> None:
        held.pid = 1 + visit.number // 10
        await quoting(visit)

    server.script = script
    assert (await only(server, held)).problems == ["the service restarted: pid 1 is now 3"]


async def test_half_open_peers_that_are_not_dropped_are_found(server: ScriptedServer) -> None:
    let_go = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.upgrade()
        await visit.say(quote(1))
        if visit.number >= 4:
            await let_go.wait()

    server.script = script
    result = await only(server, Held(server, busy=True), Mode.HALF_OPEN)
    let_go.set()
    assert "half-open peers still held 20" in result.problems


async def test_half_open_peers_take_turns_and_leave_room_for_real_clients(
    server: ScriptedServer,
) -> None:
    held = Held(server)
    most = 0

    async def script(visit: Visit) -> None:
        nonlocal most
        most = max(most, server.held)
        await visit.upgrade()
        await visit.say(quote(1))
        await stay_until(told.dropping, visit)

    server.script = script
    told = Told()
    (result,) = (await reproduced(server, held, Mode.HALF_OPEN, count=120, progress=told)).modes
    assert result.problems == []
    assert most <= 50, "half of the scripted server's hundred"
    assert len(server.visits) == 120 + 4, "every cycle, and the warm-up's"
    assert result.memory_tolerance_bytes == MEMORY_TOLERANCE + 50 * 8 * 2**10


async def test_lingering_feeds_are_waited_for_first(server: ScriptedServer) -> None:
    """In the baseline it would hide a leaked feed."""
    held = Held(server)
    held.feeds, held.feeds_by_state = 1, {"lingering/open": 1}
    server.script = quoting

    async def let_go() -> None:
        await until(lambda: held.asked >= 3, "it is asked again")
        held.feeds, held.feeds_by_state = 0, {}

    async with asyncio.TaskGroup() as group:
        group.create_task(let_go())
        (result,) = (await reproduced(server, held, Mode.CLEAN)).modes
    assert result.before.feed_count == 0
    assert result.problems == []


async def test_a_service_at_its_limit_is_retried(server: ScriptedServer) -> None:
    async def script(visit: Visit) -> web.Response | None:
        if visit.number % 3 == 0:
            return web.Response(status=429, headers={"Retry-After": "0"}, text="slowly")
        await quoting(visit)
        return None

    server.script = script
    result = await only(server, Held(server))
    assert result.problems == []
    assert result.retries >= 6


async def test_a_service_that_only_refuses_is_given_up(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cycles, "ATTEMPTS", 3)

    async def script(_visit: Visit) -> web.Response:
        return web.Response(status=503, headers={"Retry-After": "0"}, text="full")

    server.script = script
    with pytest.raises(UnreachableError, match="3 times in a row: refused with 503: full"):
        await only(server, Held(server))


async def silent(visit: Visit) -> None:
    await visit.upgrade()
    await visit.stay()


async def unknown(_visit: Visit) -> web.Response:
    return web.Response(status=404, body=messages.encode(Error("unknown_symbol", "no AAPL here")))


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        (silent, TimedOutError, "no quote of AAPL"),
        (unknown, UnknownSymbolError, "no AAPL here"),
    ],
)
async def test_failing_cycles_are_an_error_not_a_finding(
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    script: Script,
    kind: type[Exception],
    words: str,
) -> None:
    monkeypatch.setattr(cycles, "CYCLE_TIMEOUT", 0.2 if script is silent else PATIENCE)
    server.script = script
    with pytest.raises(kind, match=words):
        await only(server, Held(server))


async def test_the_status_must_belong_to_the_same_service(server: ScriptedServer) -> None:
    other = ScriptedServer()
    await other.start()
    plan = ReproPlan(symbol=Symbol("AAPL"), modes=[Mode.CLEAN], cycles=1, concurrency=1)
    with pytest.raises(UsageError, match=f"which listens on 127.0.0.1:{other.port}") as caught:
        await reproduce(server.endpoint, Held(other).status, plan, Told())
    await other.stop()
    assert "--instance" in str(caught.value.hint)
    assert not server.visits


async def test_it_leaves_no_task_and_no_socket_of_its_own(server: ScriptedServer) -> None:
    server.script = quoting
    before = asyncio.all_tasks()
    await reproduced(server, Held(server), Mode.CLEAN, Mode.RUDE)
    await server.stop()
    assert asyncio.all_tasks() <= before
    await server.start()
