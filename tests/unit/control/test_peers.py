from __future__ import annotations

import os
import socket

import pytest

from qcfeed.control import peers
from qcfeed.control.peers import Peer


def test_the_kernel_names_the_peer() -> None:
    left, right = socket.socketpair(socket.AF_UNIX)
    with left, right:
        found = peers.peer(left)
    assert (found.pid, found.uid) == (os.getpid(), os.geteuid())
    assert found.user == peers.me().user


@pytest.mark.parametrize(
    ("mine", "theirs", "trusted"),
    [(1000, 1000, True), (1000, 0, True), (1000, 1001, False), (0, 1001, True)],
)
def test_services_of_the_same_user_and_of_root_are_trusted(
    mine: int, theirs: int, trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: mine)
    assert Peer(1, theirs).is_trusted is trusted


def test_a_user_without_a_name() -> None:
    assert Peer(1, 4_242_424).user == "4242424"
