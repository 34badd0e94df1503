"""``qcfeed watch`` as a person has it: on a terminal, in a pipe, and when the service goes."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from qcfeed.errors import ExitStatus
from qcfeed.model import messages
from qcfeed.model.messages import Quote, ServerMessage
from qcfeed.upstreams.recording import RecordingReader
from tests.support.patience import PATIENCE
from tests.support.ports import refusing_port
from tests.support.shell import QCFEED, Serving, environment, qcfeed, serving


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[Serving]:
    with serving(home, "--no-monitor", "--upstream", "sim:?rate=20") as service:
        yield service


@contextlib.contextmanager
def watching(home: Path, *args: str) -> Iterator[subprocess.Popen[str]]:
    """A watch in pipes, ended at the end of the block if it has not ended by itself."""
    with subprocess.Popen(
        [QCFEED, "watch", *args],
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def quotes(text: str) -> list[Quote]:
    found: list[ServerMessage] = [messages.decode(line) for line in text.splitlines()]
    return [message for message in found if isinstance(message, Quote)]


def epochs(text: str) -> set[str]:
    return {quote.epoch for quote in quotes(text)}


def test_watch_in_a_pipe_finds_the_service_and_prints_messages(
    service: Serving, home: Path
) -> None:
    left = qcfeed(home, "watch", "AAPL", "msft", "--count", "60")
    assert (left.returncode, left.stderr) == (ExitStatus.OK, f"connected to {service.url}/stream\n")
    assert '"type":"subscribed","symbols":["AAPL","MSFT"]' in left.stdout
    assert len(quotes(left.stdout)) == 60
    assert {quote.symbol for quote in quotes(left.stdout)} == {"AAPL", "MSFT"}


def test_a_server_that_is_named_and_a_time_to_leave(service: Serving, home: Path) -> None:
    left = qcfeed(home, "watch", "AAPL", "--server", service.url, "--for", "5")
    assert left.returncode == ExitStatus.OK
    numbers = [quote.seq for quote in quotes(left.stdout)]
    assert len(numbers) >= 2
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert left.stderr == f"connected to {service.url}/quotes/AAPL\n"


def test_a_policy_is_requested_and_acknowledged(service: Serving, home: Path) -> None:
    left = qcfeed(home, "watch", "AAPL", "MSFT", "--slow", "drop-oldest", "--count", "6")
    assert left.returncode == ExitStatus.OK, left.stderr
    assert '{"type":"slow","policy":"drop-oldest"}' in left.stdout.splitlines()
    table = qcfeed(home, "watch", "AAPL", "--slow", "disconnect", "--for", "5", "-o", "table")
    assert (table.returncode, len(table.stdout.splitlines())) == (ExitStatus.OK, 2)
    wrong = qcfeed(home, "watch", "AAPL", "--slow", "never")
    assert wrong.returncode == ExitStatus.USAGE
    assert "'conflate', 'drop-oldest', 'disconnect'" in wrong.stderr


def test_a_table_in_a_pipe_is_drawn_once(service: Serving, home: Path) -> None:
    left = qcfeed(home, "watch", "AAPL", "ZVZZT", "--for", "5", "-o", "table")
    header, aapl, silent = left.stdout.splitlines()
    assert header.split() == ["SYMBOL", "BID", "ASK", "LAST", "AGE", "STATE", "SEQ", "GAPS"]
    assert re.match(r"AAPL +[\d.]+ x [\d,]+ +[\d.]+ x [\d,]+ .*live +\d+ +0$", aapl)
    assert re.match(r"ZVZZT( +-){4} +waiting +- +0$", silent)


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (["../x"], ExitStatus.USAGE, "'../x' is not a symbol"),
        (["NOPE"], ExitStatus.USAGE, "unknown symbol NOPE"),
        (["AAPL", "NOPE"], ExitStatus.USAGE, "unknown symbol NOPE"),
        (["AAPL", "--server", "localhost:8006"], ExitStatus.USAGE, "not a server's URL"),
        (["AAPL", "--server", "ws://no-such-host.invalid:1"], ExitStatus.UNREACHABLE, "reach"),
        (["AAPL", "--server", "ws://127.0.0.1:1"], ExitStatus.UNREACHABLE, "refused"),
        (["AAPL", "--record", "/nowhere/at/all"], ExitStatus.USAGE, "cannot write"),
    ],
)
def test_unknown_symbols_and_servers_are_errors(
    service: Serving, home: Path, args: list[str], status: ExitStatus, words: str
) -> None:
    left = qcfeed(home, "watch", *args)
    assert left.returncode == status
    assert words in left.stderr
    assert "Traceback" not in left.stderr


def test_an_instance_that_does_not_run_is_an_error_and_not_another_one(
    service: Serving, home: Path
) -> None:
    left = qcfeed(home, "--instance", "other", "watch", "AAPL")
    assert left.returncode == ExitStatus.UNREACHABLE
    assert "other.sock" in left.stderr


def test_a_reader_that_has_enough_is_no_error(service: Serving, home: Path) -> None:
    with watching(home, "AAPL") as watch:
        assert watch.stdout is not None
        assert watch.stderr is not None
        watch.stdout.readline()
        watch.stdout.close()
        assert watch.wait(PATIENCE) == ExitStatus.OK
        assert watch.stderr.read().splitlines() == [f"connected to {service.url}/quotes/AAPL"]


@pytest.mark.parametrize(
    ("args", "status"),
    [([], ExitStatus.OK), (["--count", "100000"], ExitStatus.INTERRUPTED)],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_watch_and_the_recording_is_complete(
    service: Serving,
    home: Path,
    tmp_path: Path,
    args: list[str],
    status: ExitStatus,
    number: signal.Signals,
) -> None:
    recorded = tmp_path / "quotes.jsonl.gz"
    with watching(home, "AAPL", "--record", str(recorded), *args) as watch:
        assert watch.stdout is not None
        seen = watch.stdout.readline() + watch.stdout.readline()
        assert watch.stderr is not None
        watch.send_signal(number)
        # Not communicate(), which does not know of lines that have been read ahead.
        rest, talk = watch.stdout.read(), watch.stderr.read()
        assert watch.wait(PATIENCE) == status
        assert talk == f"connected to {service.url}/quotes/AAPL\n"
    reader = RecordingReader(recorded)
    assert [message for _, message in reader] == quotes(seen + rest)
    assert not reader.truncated


def test_a_recording_can_be_served_again(service: Serving, home: Path, tmp_path: Path) -> None:
    recorded = tmp_path / "quotes.jsonl"
    first = qcfeed(home, "watch", "AAPL", "--count", "3", "--record", str(recorded), "-o", "json")
    again = tmp_path / "home"
    again.mkdir()
    with serving(again, "--no-monitor", "--upstream", f"replay:{recorded}?speed=0.5"):
        second = qcfeed(again, "watch", "AAPL", "--count", "3")
    wanted, got = quotes(first.stdout), quotes(second.stdout)
    assert [(quote.bid, quote.ask, quote.last) for quote in wanted] == [
        (quote.bid, quote.ask, quote.last) for quote in got
    ]


def test_watch_reconnects_when_the_service_is_back(tmp_path: Path) -> None:
    with refusing_port() as port:  # while there is no service, too
        _comes_back(tmp_path, ("--no-monitor", "--port", str(port), "--upstream", "sim:?rate=20"))


def _comes_back(home: Path, options: tuple[str, ...]) -> None:
    with serving(home, *options):
        process = subprocess.Popen(
            [QCFEED, "watch", "AAPL"],
            env=environment(home),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        watch = Serving(process)  # whose talk is its stderr
        assert process.stdout is not None
        watch.hear("connected to")
        first = process.stdout.readline()
    with serving(home, *options):
        watch.hear("disconnected: the server closed with 1001 (going away)")
        watch.hear("connected again to")
        while len(epochs(first)) < 2:
            first += process.stdout.readline()
        watch.end(signal.SIGINT)
    rest = process.stdout.read()
    process.stdout.close()
    assert process.stderr is not None
    process.stderr.close()
    assert process.returncode == ExitStatus.OK
    assert '"type":"going_away"' in first
    assert len(epochs(first + rest)) == 2
    assert not [line for line in watch.talk if "missed" in line], "a new epoch is no gap"


def test_on_a_terminal_a_live_table_that_fits(service: Serving, home: Path) -> None:
    child = pexpect.spawn(
        str(QCFEED),
        ["watch", "AAPL", "BRK.B", "ZVZZT"],
        env=environment(home) | {"TERM": "xterm", "NO_COLOR": "1"},
        encoding="utf-8",
        dimensions=(24, 80),
        timeout=PATIENCE,
    )
    child.expect(r"SYMBOL +BID +ASK +LAST +AGE +STATE +SEQ +GAPS")
    child.expect("AAPL .*live")
    child.setwinsize(24, 60)
    child.expect(r"SYMBOL +BID +ASK +(AGE +)?STATE +GAPS")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == ExitStatus.OK
    # A move of the cursor ends a line, and so does the terminal's echo of Ctrl-C.
    lines = re.split(r"[\r\n]+|\x1b\[[0-9;?]*[a-zA-Z]|\^C", str(child.before))
    table = [line for line in lines if line.startswith(("SYMBOL", "AAPL", "BRK.B", "ZVZZT"))]
    assert len(table) >= 3
    assert max(map(len, table)) <= 60
