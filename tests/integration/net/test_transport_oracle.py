"""Our transport behaves like asyncio's, step by step, for any order of steps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.two_transports import MEGABYTE, Step, play

READ_ALL = ("peer_reads", 8 * MEGABYTE)
DRAINED = [READ_ALL] * 12
"""Steps that read until nothing is left: the kernel accepts a part of a megabyte each time."""

SCRIPTS: dict[str, list[Step]] = {
    "a small write leaves at once": [("write", 10), READ_ALL],
    "a large write is paused and resumed": [("write", MEGABYTE), *DRAINED, ("write", 10), READ_ALL],
    "several pieces leave as one": [("writelines", [10, 20, 30]), READ_ALL],
    "nothing is written by an empty write": [("write", 0), READ_ALL],
    "text is no data": [("write_text", "text"), ("write", MEGABYTE), ("write_text", "text")],
    "the limits by default": [("can_write_eof", None)],
    "a high limit implies a low one": [("limits", (1_000, None)), ("write", MEGABYTE), *DRAINED],
    "a low limit implies a high one": [("limits", (None, 100)), ("write", MEGABYTE), *DRAINED],
    "limits of nothing": [("limits", (0, 0)), ("write", MEGABYTE), *DRAINED],
    "limits that contradict each other": [("limits", (10, 20)), ("limits", (10, -1))],
    "limits set while much is unsent": [
        ("limits", (8 * MEGABYTE, None)),
        ("write", MEGABYTE),
        ("limits", (100, None)),
        ("limits", (8 * MEGABYTE, None)),
        *DRAINED,
    ],
    "reading is paused and resumed": [
        ("pause_reading", None),
        ("pause_reading", None),
        ("is_reading", None),
        ("peer_sends", b"waits"),
        ("resume_reading", None),
        ("resume_reading", None),
        ("is_reading", None),
    ],
    "reading is resumed after close": [
        ("write", MEGABYTE),
        ("close", None),
        ("resume_reading", None),
        ("is_reading", None),
        ("peer_sends", b"too late"),
        *DRAINED,
    ],
    "reading is resumed after the connection was lost": [
        ("close", None),
        ("resume_reading", None),
        ("pause_reading", None),
        ("is_reading", None),
    ],
    "close with much unsent": [
        ("write", MEGABYTE),
        ("close", None),
        ("close", None),
        ("write", 10),
        *DRAINED,
        ("peer_sees_the_end", None),
    ],
    "write after close": [("close", None), ("write", 10), ("write", 10), READ_ALL],
    "write after abort": [("abort", None), ("write", 10), ("abort", None), ("close", None)],
    "abort throws away what is unsent": [("write", MEGABYTE), ("abort", None), *DRAINED],
    "abort after close": [("write", MEGABYTE), ("close", None), ("abort", None), *DRAINED],
    "our half ends": [
        ("write", 10),
        ("write_eof", None),
        ("write_eof", None),
        READ_ALL,
        ("peer_sees_the_end", None),
        ("peer_sends", b"still here"),
    ],
    "our half ends after what is unsent": [
        ("write", MEGABYTE),
        ("write_eof", None),
        ("peer_sees_the_end", None),
        *DRAINED,
        ("peer_sees_the_end", None),
        ("peer_sends", b"still here"),
    ],
    "write after our half has ended": [("write_eof", None), ("write", 10), ("writelines", [1, 2])],
    "write before our half has ended, but after it was asked for": [
        ("write", MEGABYTE),
        ("write_eof", None),
        ("write", 10),
        *DRAINED,
    ],
    "write after our half has ended and all": [
        ("write_eof", None),
        ("close", None),
        ("write", 10),
    ],
    "the end of our half after close": [("close", None), ("write_eof", None), ("write", 10)],
    "close after our half has ended": [
        ("write", MEGABYTE),
        ("write_eof", None),
        ("close", None),
        *DRAINED,
        ("peer_sees_the_end", None),
    ],
    "the peer ends its half": [("peer_sends", b"last words"), ("peer_ends", None), ("write", 10)],
    "reading is resumed after the peer has ended its half": [
        ("peer_ends", None),
        ("is_reading", None),
        ("resume_reading", None),
        ("pause_reading", None),
        ("is_reading", None),
        ("write", MEGABYTE),
        *DRAINED,
    ],
    "the peer ends its half while reading is paused": [
        ("pause_reading", None),
        ("peer_ends", None),
        ("write", 10),
        ("resume_reading", None),
    ],
    "the peer goes": [("peer_goes", None), ("write", 10)],
    "the peer goes with bytes unread": [("write", 10), ("peer_goes", None)],
    "the peer goes while much is unsent": [("write", MEGABYTE), ("peer_goes", None)],
    "the peer goes while much is unsent and we close": [
        ("write", MEGABYTE),
        ("close", None),
        ("peer_goes", None),
    ],
    "the peer ends its half and goes while much is unsent": [
        ("peer_ends", None),
        ("write", MEGABYTE),
        ("peer_goes", None),
    ],
    "the peer goes while reading is paused": [
        ("pause_reading", None),
        ("peer_goes", None),
        ("write", 10),
        ("write", 10),
    ],
    "what can be known of it": [("info", "socket"), ("info", "peername"), ("info", "nonsense")],
}

FAILURES = ["data", "eof", "pause", "resume", "lost"]
EVERYTHING = [
    ("peer_sends", b"data"),
    ("write", MEGABYTE),
    *DRAINED,
    ("peer_ends", None),
    ("write", 10),
    ("close", None),
]

STEPS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from([0, 10, 10, MEGABYTE])),
    st.tuples(st.just("peer_reads"), st.sampled_from([10, 8 * MEGABYTE])),
    st.tuples(st.just("peer_sends"), st.sampled_from([b"some", b"more"])),
    st.tuples(
        st.just("limits"),
        st.sampled_from([(None, None), (0, None), (8 * MEGABYTE, None), (1_000, 10)]),
    ),
    st.tuples(
        st.sampled_from(
            [
                "pause_reading",
                "resume_reading",
                "is_reading",
                "write_eof",
                "close",
                "abort",
                "peer_ends",
                "peer_goes",
                "peer_sees_the_end",
            ]
        ),
        st.none(),
    ),
)


async def both(script: Sequence[Step], *, stays: bool = False, fails: str = "") -> None:
    theirs = await play("asyncio", script, stays=stays, fails=fails)
    ours = await play("ours", script, stays=stays, fails=fails)
    for number, (expected, seen) in enumerate(zip(theirs, ours, strict=True)):
        different = {name: (seen[name], it) for name, it in expected.items() if seen[name] != it}
        assert not different, f"after step {number} of {script}: ours, then asyncio's"


@pytest.mark.parametrize("stays", [False, True], ids=["ends with its peer", "outlives its peer"])
@pytest.mark.parametrize("name", SCRIPTS)
async def test_the_transport_behaves_like_asyncio_s(name: str, stays: bool) -> None:
    await both(SCRIPTS[name], stays=stays)


@pytest.mark.parametrize("fails", FAILURES)
async def test_a_bug_in_a_protocol_ends_the_connection_as_in_asyncio(fails: str) -> None:
    await both(EVERYTHING, fails=fails, stays=True)


@given(script=st.lists(STEPS, max_size=12), stays=st.booleans())
def test_random_scripts_behave_as_with_asyncio_s_transport(script: list[Step], stays: bool) -> None:
    asyncio.run(both(script, stays=stays))
