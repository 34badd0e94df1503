"""``qcfeed top`` in a real terminal, beside a real service with the incident's own fault."""

from __future__ import annotations

import re
import shlex
import signal
from pathlib import Path

import pytest

from qcfeed.errors import ExitStatus
from tests.support.nats_cluster import feeder, gateway, watching
from tests.support.nats_server import nats_server, needs_nats
from tests.support.shell import QCFEED, qcfeed, serving
from tests.support.terminal import terminal

ZOMBIES = 2_000


def test_the_incident_from_the_guilty_line_to_its_end(tmp_path: Path) -> None:
    arguments = ("--no-monitor", "--upstream", "sim:?rate=1", "--drill", f"zombie-feeds={ZOMBIES}")
    with serving(tmp_path, *arguments), terminal(tmp_path) as seat:
        seat.type(f"{shlex.quote(str(QCFEED))} top --every 0.5; echo left $?")
        seat.see("2,000 orphaned")
        screen = seat.see("LEAK  2,000 tasks from qcfeed/drills/zombies.py")
        assert max(map(len, screen.splitlines())) <= 80
        guilty = next(
            line
            for line in screen.splitlines()
            if "drills/zombies.py" in line and "LEAK" not in line
        )
        assert guilty.split()[1] == guilty.split()[4] == "2,000"
        seat.press("r")
        seat.see("reap 2,000 orphans? [y/N]")
        seat.press("y")
        seat.see("cancelled          2,000 tasks")
        seat.press("Escape")
        seat.see("0 orphaned")
        seat.wait(lambda text: "LEAK" not in text, "no finding")
        assert seat.modes().split() == ["1", "0", "0"]
        seat.press("q")
        seat.see(f"left {ExitStatus.OK:d}")
        assert "orphaned" not in seat.screen
        assert seat.modes().split() == ["0", "0", "1"]
        seat.type("stty -a")
        seat.see(" icanon")
        assert " echo " in seat.screen
        audit = qcfeed(tmp_path, "orphans")
        assert audit.returncode == ExitStatus.OK


def test_top_outlives_the_service_and_quits_at_once_while_it_does_not_answer(
    tmp_path: Path,
) -> None:
    with terminal(tmp_path) as seat:
        with serving(tmp_path, "--no-monitor", "--upstream", "sim:", before=("--instance", "a")):
            seat.type(f"NO_COLOR=1 {shlex.quote(str(QCFEED))} top --every 0.5; echo left $?")
            # A minute after its start nothing would be found at all.
            seat.wait(lambda screen: "NOTHING FOUND" in screen or "HEALTHY" in screen, "a verdict")
        seat.see("AWAY for")
        with serving(
            tmp_path, "--no-monitor", "--upstream", "sim:", before=("--instance", "a")
        ) as again:
            seat.see("restarted 1 time")
            assert "AWAY" not in seat.screen
            assert not re.search(r"\x1b\[(3[0-7]|4[0-7]|[34]8;|9\d)", seat.painted)
            again.process.send_signal(signal.SIGSTOP)  # it accepts connections but does not answer
            seat.see("NO ANSWER for")
            seat.press("q")
            seat.see(f"left {ExitStatus.OK:d}")


@pytest.mark.parametrize("args", [[], ["--every", "5"]])
def test_top_without_a_terminal_says_what_to_type(tmp_path: Path, args: list[str]) -> None:
    left = qcfeed(tmp_path, "top", *args)
    assert left.returncode == ExitStatus.USAGE
    assert "qcfeed diagnose" in left.stderr
    assert left.stdout == ""


def test_a_terminal_without_a_cursor_is_refused(tmp_path: Path) -> None:
    with terminal(tmp_path) as seat:
        seat.type(f"TERM=dumb {shlex.quote(str(QCFEED))} top; echo left $?")
        seat.see(f"left {ExitStatus.USAGE:d}")
        assert "TERM=dumb" in seat.see("qcfeed diagnose")


@needs_nats
def test_a_cluster_on_one_screen_with_who_does_not_answer(tmp_path: Path) -> None:
    pytest.importorskip("nats", reason="pip install 'qcfeed[cluster]'")
    with (
        nats_server(tmp_path / "nats") as server,
        feeder(tmp_path, "f", server.url, "--lease", "1"),
        gateway(tmp_path, "g", server.url) as serving,
        watching(serving) as reader,
        terminal(tmp_path) as seat,
    ):
        reader.quote()
        seat.type(f"{shlex.quote(str(QCFEED))} --cluster top --every 0.5; echo left $?")
        seat.see("HEALTHY")
        screen = seat.see("share 1/1  f, epoch ")
        assert max(map(len, screen.splitlines())) <= 80
        assert "no standby" in screen
        [row] = [line for line in screen.splitlines() if line.split()[:1] == ["g"]]
        assert row.split()[1:4] == ["gateway", "serving", "1"]
        serving.process.send_signal(signal.SIGSTOP)
        try:
            seat.see("NO ANSWER  g:")
            assert "HEALTHY" not in seat.see("INCOMPLETE")
            seat.press("q")
            seat.see(f"left {ExitStatus.OK:d}")
        finally:
            serving.process.send_signal(signal.SIGCONT)
