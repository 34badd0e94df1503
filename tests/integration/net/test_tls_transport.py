"""The TLS transport: like asyncio's where the two ends can tell, and its own handshake."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qcfeed.net.handshakes import HandshakeQueue
from tests.support.certificates import Certificates
from tests.support.two_tls_transports import play
from tests.support.two_transports import MEGABYTE, Step

READ_ALL = ("peer_reads", 8 * MEGABYTE)
DRAINED = [READ_ALL] * 24

SCRIPTS: dict[str, list[Step]] = {
    "a small write": [("write", 10), READ_ALL],
    "writes of many sizes": [("write", 16_384), ("write", 16_385), ("write", 1), *DRAINED],
    "a large write": [("write", MEGABYTE), *DRAINED, ("write", 10), READ_ALL],
    "writes behind a large one": [("write", MEGABYTE), ("write", 10), ("write", 40_000), *DRAINED],
    "several pieces": [("writelines", [10, 20_000, 30]), READ_ALL],
    # asyncio waits until the peer ends too; ours does not.
    "close with much unsent": [("write", MEGABYTE), ("close", None), *DRAINED, ("peer_ends", None)],
    "close": [("write", 10), ("close", None), READ_ALL, ("peer_ends", None)],
    "abort": [("write", 10), READ_ALL, ("abort", None), READ_ALL],
    "the peer sends": [("peer_sends", b"one"), ("peer_sends", b"two" * 5_000)],
    "the peer sends while reading is paused": [
        ("pause_reading", None),
        ("peer_sends", b"waits"),
        ("resume_reading", None),
    ],
    "the peer ends": [("peer_sends", b"last words"), ("peer_ends", None), READ_ALL],
}

STEPS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from([0, 10, 16_384, 16_385, 200_000])),
    st.tuples(st.just("peer_reads"), st.sampled_from([10, 20_000, 8 * MEGABYTE])),
    st.tuples(st.just("peer_sends"), st.sampled_from([b"some", b"more" * 5_000])),
    st.tuples(st.sampled_from(["pause_reading", "resume_reading"]), st.none()),
)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    made = Certificates(tmp_path_factory.mktemp("tls"))
    made.issue()
    return made


@pytest.mark.parametrize("name", SCRIPTS)
async def test_both_ends_see_what_they_see_with_asyncio(
    name: str, certificates: Certificates
) -> None:
    theirs = await play("asyncio", SCRIPTS[name], certificates)
    ours = await play("ours", SCRIPTS[name], certificates)
    assert ours == theirs


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(script=st.lists(STEPS, max_size=12))
def test_every_byte_arrives_in_both_directions(
    script: list[Step], certificates: Certificates
) -> None:
    written = sum(size for name, size in script if name == "write")
    sent = b"".join(data for name, data in script if name == "peer_sends")
    whole = [*script, ("resume_reading", None), *DRAINED]
    seen = asyncio.run(play("ours", whole, certificates))
    assert (seen["the peer has"], seen["heard"], seen["bugs"]) == (written, sent, [])


@pytest.mark.parametrize("unsent", [10, MEGABYTE])
async def test_a_peer_that_goes_without_close_notify_ends_the_connection(
    unsent: int, certificates: Certificates
) -> None:
    seen = await play("ours", [("write", unsent), ("peer_goes", None)], certificates)
    told = [each[0] for each in seen["told"]]
    # A peer that leaves unread data behind resets the connection; older OpenSSL calls that an end.
    assert told in (["made", "eof", "lost"], ["made", "lost"])


async def test_our_half_ends_with_close_notify_and_further_input_is_discarded(
    certificates: Certificates,
) -> None:
    script: Sequence[Step] = [
        ("write", MEGABYTE),
        ("write_eof", None),
        *DRAINED,
        ("peer_sends", b"unheard"),
        ("peer_goes", None),
    ]
    seen = await play("ours", script, certificates)
    assert (seen["the peer has"], seen["the end"], seen["heard"]) == (MEGABYTE, "close_notify", b"")
    assert seen["told"] == [("made",), ("lost", "NoneType")]


class _Step:
    """A connection in the queue: takes a moment, and notes when it was called."""

    def __init__(self, loop: asyncio.AbstractEventLoop, turns: list[float]) -> None:
        self._loop, self._turns = loop, turns

    def continue_handshake(self) -> None:
        self._turns.append(self._loop.time())
        until = self._loop.time() + 0.003
        while self._loop.time() < until:
            pass


async def test_other_work_runs_between_the_handshakes_of_many() -> None:
    loop = asyncio.get_running_loop()
    queue, steps = HandshakeQueue(loop), list[float]()
    for _ in range(10):
        queue.add(_Step(loop, steps))
    turns = []
    while queue:
        before = len(steps)
        await asyncio.sleep(0)
        turns.append(len(steps) - before)
    assert len(steps) == 10
    assert max(turns) == 1, "each took longer than a turn's share"


async def test_a_bug_in_one_connection_does_not_end_the_handshakes_of_others() -> None:
    loop = asyncio.get_running_loop()
    queue, steps = HandshakeQueue(loop), list[float]()

    class Broken:
        def continue_handshake(self) -> None:
            raise ArithmeticError

    bugs: list[object] = []
    loop.set_exception_handler(lambda _, about: bugs.append(about["exception"]))
    queue.add(Broken())
    queue.add(_Step(loop, steps))
    while queue:  # noqa: ASYNC110 -- each turn is one step
        await asyncio.sleep(0)
    assert (len(steps), [type(each) for each in bugs]) == (1, [ArithmeticError])
