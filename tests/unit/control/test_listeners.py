from __future__ import annotations

import socket
import threading
import time

import pytest

from qcfeed.control.listeners import UnixListener, listen_tcp
from qcfeed.errors import ConfigError, StartError
from tests.support.patience import PATIENCE


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "8006.sock"


def test_close_leaves_nothing(path):
    UnixListener("8006", path).close()
    assert list(path.parent.iterdir()) == []
    UnixListener("8006", path).close()


def test_a_file_in_its_place_is_kept(path):
    path.parent.mkdir(mode=0o700)
    path.write_text("mine")
    with pytest.raises(StartError, match="cannot make the control socket"):
        UnixListener("8006", path)
    assert path.read_text() == "mine"
    assert [file.name for file in path.parent.iterdir()] == ["8006.sock"]


def test_the_socket_of_a_running_service_is_kept(path):
    first = UnixListener("8006", path)
    with pytest.raises(StartError, match="already runs here"):
        UnixListener("8006", path)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    first.close()


def test_of_many_services_that_start_at_once_exactly_one_listens(path):
    barrier, won, lost = threading.Barrier(8), [], []
    holder, overlaps = threading.Lock(), []

    def start():
        barrier.wait(PATIENCE)
        for _ in range(50):
            try:
                listener = UnixListener("8006", path)
            except StartError as error:
                lost.append(error)
                continue
            won.append(listener)
            overlaps.append(not holder.acquire(blocking=False))
            time.sleep(0)  # let the others try
            holder.release()
            listener.close()

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) + len(lost) == 400
    assert won
    assert not any(overlaps)
    assert list(path.parent.iterdir()) == []


def test_a_path_longer_than_the_kernel_takes_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="the kernel takes 107"):
        UnixListener("8006", tmp_path / ("x" * 100) / "8006.sock")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_out_of_range_is_refused(port):
    with pytest.raises(ConfigError, match="is no port"):
        listen_tcp("127.0.0.1", port)


def test_localhost_is_ipv4():
    with listen_tcp("localhost", 0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
