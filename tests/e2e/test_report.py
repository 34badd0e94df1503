"""`qcfeed report`: complete evidence without secrets, readable without the service."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

import pytest

from qcfeed.errors import ExitStatus
from tests.support.patience import PATIENCE
from tests.support.program import program
from tests.support.shell import QCFEED, environment, qcfeed, serving, until
from tests.support.terminal import terminal

ZOMBIES = 300
SECTIONS = [
    "Findings",
    "Alert details",
    "Timeline",
    "Task growth",
    "Memory",
    "Subscriptions",
    "Quote staleness",
    "Task dump",
    "Log excerpt",
    "Actions taken",
    "Stack of the event loop",
    "Configuration",
    "Not included",
]
"""The sections of the incident report of 2024-03-20, and the questions that it left open."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A service that leaks, was reaped once, and leaks again."""
    home = tmp_path_factory.mktemp("home")
    with serving(home, "--no-monitor", "--linger", "0.1", "--drill", f"zombie-feeds={ZOMBIES}"):
        until(lambda: _orphans(home) == ZOMBIES, "the zombies")
        assert qcfeed(home, "orphans", "--reap").returncode == ExitStatus.OK
        qcfeed(home, "repro", "--mode", "clean", "--cycles", "20", "--settle", "0.5")
        until(lambda: _is_proved(home), "orphans that are proved")
        files = ("--file", f"{home}/night.html", "--bundle", f"{home}/night.tar.gz", "--force")
        made = until_the_leak_comes_first(home, *files, "--window", "1s")
        assert "LEAK  40 tasks from qcfeed/drills/zombies.py:" in made.stderr
        assert made.stderr.count("left out") == made.stderr.count("Prometheus: not configured") == 1
        yield home


def until_the_leak_comes_first(home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """``report`` once more while a busy machine holds the loop up, which is more urgent then."""
    made: list[subprocess.CompletedProcess[str]] = []

    def is_the_leak() -> bool:
        made[:] = [qcfeed(home, "report", *args)]
        assert made[0].returncode == ExitStatus.OK, made[0].stderr
        return re.search(r"^(# )?LEAK +40 tasks", made[0].stdout + made[0].stderr, re.M) is not None

    until(is_the_leak, "the leak to be the most urgent finding")
    return made[0]


def _orphans(home: Path) -> int:
    return int(json.loads(qcfeed(home, "orphans", "-o", "json").stdout)["total"])


def _is_proved(home: Path) -> bool:
    output = json.loads(qcfeed(home, "tasks", "findings", "-o", "json").stdout)
    return ("orphans", "proved") in {
        (each["rule"], each["certainty"]) for each in output["findings"]
    }


def members(bundle: Path) -> dict[str, bytes]:
    with tarfile.open(bundle) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]


class Page(HTMLParser):
    """Headings, tags and references of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.tags: list[str] = []
        self.refers: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == [], "every tag is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.refers += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag != "meta":
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "h2":
            self.headings.append(data)


def test_the_html_report_has_all_sections_and_loads_nothing(home: Path) -> None:
    text = (home / "night.html").read_text()
    page = Page(text)
    assert page.headings == SECTIONS
    assert page.tags.count("svg") >= 3, "memory, tasks, locations"
    assert page.refers == []
    assert "script" not in page.tags
    assert "url(" not in text
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text


def test_the_report_in_markdown_on_stdout(home: Path) -> None:
    completed = until_the_leak_comes_first(home, "--window", "200ms")
    headings = re.findall(r"^## (.*)$", completed.stdout, re.MULTILINE)
    assert headings == SECTIONS
    assert completed.stdout.startswith("# LEAK 40 tasks from qcfeed/drills/zombies.py:")
    assert "owner subscriber" in completed.stdout
    assert re.search(rf"orphans.reap \| done \|.*cancelled {ZOMBIES}", completed.stdout)
    assert "no subscribers, closing the feed" in completed.stdout, "the log"
    assert "- **drill**: zombie-feeds=300" in completed.stdout


OFFLINE = {
    "tasks": "_generate_quotes",
    "tasks --by-location": "all orphaned",
    "tasks --tree": "_generate_quotes",
    "tasks --by object": "timer each",
    "tasks findings": "alive though the owner is gone",
    "orphans": "owner subscriber",
    "status": "FAULT INJECTED ON PURPOSE",
    "stacks": "the event loop",
    "diagnose": "LEAK  40 tasks",
    "feeds": "",
}


@pytest.mark.parametrize("command", OFFLINE)
def test_a_bundle_is_read_on_another_machine(home: Path, tmp_path: Path, command: str) -> None:
    completed = qcfeed(tmp_path, *command.split(), "--from", f"{home}/night.tar.gz")
    assert completed.returncode in (ExitStatus.OK, ExitStatus.FINDINGS), completed.stderr
    assert OFFLINE[command] in completed.stdout


ACTS = re.compile(
    r"--reap|--watch|--window|drill stop|\b(?:feeds|tasks|subscribers) (?:cancel|kick|verify|diff)\b"
)


@pytest.mark.parametrize(
    "command", [*OFFLINE, "subscribers", "growth", "logs", "audit", "tasks ended"]
)
def test_what_a_file_says_is_of_its_time_and_suggests_no_action(
    home: Path, tmp_path: Path, command: str
) -> None:
    file = f"{home}/night.tar.gz"
    completed = qcfeed(tmp_path, *command.split(), "--from", file)
    assert completed.returncode in (ExitStatus.OK, ExitStatus.FINDINGS), completed.stderr
    first, *_ = completed.stderr.splitlines()
    assert re.fullmatch(rf"as of [-\d]+ [:\d]+ UTC: .+, read from {re.escape(file)}", first)
    told = completed.stdout + completed.stderr
    assert not re.search(r"\bago\b", told)
    suggested = [
        *re.findall(r"`(qcfeed [^`]+)`", told),
        *re.findall(r"(?m)^ *(?:next|first|then):? +(qcfeed .+)$", told),
    ]
    assert [each for each in suggested if ACTS.search(each)] == []
    for each in suggested:
        assert each.count(f"--from {file}") == (0 if "runbook" in each else 1), each


def test_every_list_of_a_file_has_the_rows_that_were_asked_for(home: Path, tmp_path: Path) -> None:
    for command in ("tasks", "tasks --by-location", "orphans", "audit", "logs", "tasks ended"):
        args = (*command.split(), "--from", f"{home}/night.tar.gz", "--limit", "2", "--no-headers")
        rows = qcfeed(tmp_path, *args).stdout.splitlines()
        assert len(rows) == 2, (command, rows)
    sort = ("--sort-by", "-serial", "-o", "name", "--from", f"{home}/night.tar.gz", "--limit")
    assert (
        qcfeed(tmp_path, "tasks", *sort, "2").stdout.split()
        == qcfeed(tmp_path, "tasks", *sort, "9").stdout.split()[:2]
    )
    last = ("--from", f"{home}/night.tar.gz", "-o", "csv", "--no-headers")
    whole = qcfeed(tmp_path, "audit", *last).stdout.splitlines()
    assert qcfeed(tmp_path, "audit", *last, "--limit", "2").stdout.splitlines() == whole[-2:]


@pytest.mark.parametrize("size", [(40, 16), (200, 40)])
def test_top_shows_a_bundle_and_acts_on_nothing(
    home: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    with terminal(tmp_path, size) as seat:
        bundle = f"{home}/night.tar.gz"
        seat.type(f"COLORFGBG='0;15' {shlex.quote(str(QCFEED))} top --from {bundle}; echo left $?")
        first = seat.see("as of ").splitlines()[0]
        assert re.match(r"as of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: ", first)
        assert "\x1b[38;" in seat.painted, "the colours of the light theme are not the terminal's"
        for key, row in {
            "2": "no feeds",
            "4": "[4 Orphans]",
            "5": "LEAK",
            "1": "[1 Tasks]",
        }.items():
            seat.press(key)
            seat.see(row)
        for key in "c", "r":
            seat.press(key)
            seat.see("cannot be acted on")
        seat.press("Enter")
        seat.see("oldest tasks of")
        seat.press("Enter")
        assert " ago" not in seat.see("Esc back")
        seat.press("Escape")
        seat.wait(lambda screen: "Esc back" not in screen, "the list")
        seat.press("5")
        seat.see("[5 Findings]")
        seat.press("Enter")
        text = seat.see("Esc back")
        assert " ago" not in text
        assert "--reap" not in text
        seat.press("Escape")
        seat.wait(lambda screen: "Esc back" not in screen, "the list")
        seat.press("q")
        seat.see("left 0")


def test_a_bundle_lists_its_content(home: Path) -> None:
    bundle = home / "night.tar.gz"
    held = members(bundle)
    manifest = json.loads(held["manifest.json"])
    assert manifest["schema"] == "qcfeed.bundle/2"
    assert {each["name"] for each in manifest["files"]} == held.keys() - {"manifest.json"}
    assert manifest["skipped"] == ["Prometheus: not configured (--prometheus URL)"]
    for each in manifest["files"]:
        assert each["bytes"] == len(held[each["name"]])
    assert json.loads(held["answers/metrics.json"])["text"].count("qcfeed_tasks_live{") >= 1
    assert held["report.html"] == (home / "night.html").read_bytes()
    assert bundle.stat().st_mode & 0o077 == 0
    assert list(home.glob(".night*")) == []


def test_a_file_that_is_no_bundle_is_refused(home: Path, tmp_path: Path) -> None:
    whole = (home / "night.tar.gz").read_bytes()
    (tmp_path / "half.tar.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "other.tar.gz").write_bytes(b"")
    with tarfile.open(tmp_path / "other.tar.gz", "w:gz") as archive:
        archive.add(__file__, "a.py")
    for name, why in (
        ("half", "is truncated"),
        ("other", "not a bundle of this version of qcfeed"),
    ):
        completed = qcfeed(tmp_path, "tasks", "--from", f"{tmp_path}/{name}.tar.gz")
        assert completed.returncode == ExitStatus.USAGE
        assert why in completed.stderr
        assert "Traceback" not in completed.stderr
    completed = qcfeed(home, "report", "-o", "night.pdf")
    assert completed.returncode == ExitStatus.USAGE
    assert "neither .md nor .html" in completed.stderr


@contextmanager
def secretive(home: Path, secrets: dict[str, str]) -> Iterator[None]:
    """A service with secrets in its configuration file, environment, upstream URL and log."""
    config = home / "qcfeed.toml"
    url = f"coinbase+ws://127.0.0.1:9/feed/{secrets['environment']}/token={secrets['url']}"
    config.write_text(
        f'upstream = "{url}"\naudit_log = "{home}/password={secrets["config"]}.jsonl"\n'
    )
    process = subprocess.Popen(
        [QCFEED, "--config", str(config), "serve", "--port", "0", "--no-monitor"],
        env=environment(home) | {"FEED_API_TOKEN": secrets["environment"]},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: qcfeed(home, "status").returncode == ExitStatus.OK, "the service")
        yield
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def test_no_secret_leaves_the_machine(tmp_path: Path) -> None:
    secrets = {
        "config": "Sx7-from-the-file",
        "url": "Ty8-from-the-url",
        "environment": "Uz9-from-the-environment",
    }
    with secretive(tmp_path, secrets):
        with subprocess.Popen(
            [QCFEED, "watch", "BTC-USD", "--for", f"{10 * PATIENCE}"], env=environment(tmp_path),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as watching:  # fmt: skip
            listing = lambda: qcfeed(tmp_path, "feeds", "-o", "json").stdout  # noqa: E731
            until(lambda: secrets["environment"] in listing(), "a failure that tells a secret")
            watching.kill()
        made = qcfeed(
            tmp_path, "report", "--file", f"{tmp_path}/r.md", "--bundle", f"{tmp_path}/b.tar.gz",
            "--window", "200ms",
        )  # fmt: skip
        assert made.returncode == ExitStatus.OK, made.stderr
    held = members(tmp_path / "b.tar.gz")
    output = b"\n".join([*held.values(), (tmp_path / "r.md").read_bytes(), made.stderr.encode()])
    found = {where for where, secret in secrets.items() if secret.encode() in output}
    assert found == set()
    assert held["answers/config.json"].count(b"[redacted]") == len(secrets), "all were there"
    assert b"127.0.0.1:9/feed" in held["answers/config.json"], "what is no secret stays"
    assert b"feeds with subscribers retry" in held["answers/log.json"]


def test_a_stuck_program_is_reported_in_time(tmp_path: Path) -> None:
    with program(tmp_path, "-m", "tests.support.faults", "blocks_for_good") as faulty:
        faulty.hear("attached")
        completed = qcfeed(tmp_path, "--instance", "faulty", "report", "--window", "2s")
    assert completed.returncode == ExitStatus.OK, completed.stderr
    assert completed.stdout.startswith("# BLOCKED the loop has been stuck for")
    assert "time.sleep(seconds)  # the blocking line" in completed.stdout
    assert "log: " in completed.stdout, "what could not be had is named"


def test_without_a_service_nothing_is_written(tmp_path: Path) -> None:
    completed = qcfeed(
        tmp_path, "report", "--file", f"{tmp_path}/r.md", "--bundle", f"{tmp_path}/b.tar.gz"
    )
    assert completed.returncode == ExitStatus.UNREACHABLE
    assert list(tmp_path.iterdir()) == []
