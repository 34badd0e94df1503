"""The options that the kernel is given for a connection, as it gives them back."""

from __future__ import annotations

import socket

import pytest

from qcfeed.net import kernel_buffers


@pytest.mark.parametrize(("seconds", "milliseconds"), [(0.5, 500), (20.0, 20_000)])
def test_an_unacknowledging_peer_is_dropped_after_that_many_milliseconds(
    seconds: float, milliseconds: int
) -> None:
    with socket.socket() as sock:
        kernel_buffers.limit_unacknowledged_time(sock, seconds)
        kept = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert kept == milliseconds


def test_linux_doubles_the_size_of_the_send_buffer() -> None:
    with socket.socket() as sock:
        kernel_buffers.limit_send_buffer(sock, 50_000)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 100_000


def test_the_send_queue_is_what_the_peer_has_not_read() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert kernel_buffers.send_queue(ours) == 0
    assert kernel_buffers.send_queue(ours) is None, "it is closed"
    assert kernel_buffers.send_queue(None) is None
