"""docs/how-to/any-program.md: its programs are the files in examples/, and its commands are run."""

from __future__ import annotations

import json
import re
import signal
import urllib.request
from pathlib import Path

import pytest

from tests.docs.snippets import snippets
from tests.support.patience import PATIENCE
from tests.support.program import ROOT, program
from tests.support.shell import qcfeed, sound, until

PAGE = "docs/how-to/any-program.md"


def run_the_pages_commands(home: Path, instance: str) -> dict[str, tuple[int, str]]:
    """What each command of the page said, by the words after the instance."""
    page = "".join(each.text for each in snippets(PAGE) if each.language == "console")
    lines = re.findall(rf"^\$ qcfeed --instance {instance} (.*)$", page, re.MULTILINE)
    ran = {}
    for line in lines:
        ended = qcfeed(home, "--instance", instance, *line.split())
        assert "Traceback" not in ended.stderr
        ran[line] = (ended.returncode, ended.stdout)
    return ran


def get(url: str) -> None:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        answer.read()


def test_the_pages_programs_are_the_examples() -> None:
    names = ["aiohttp_app.py", "starlette_app.py", "script.py"]
    programs = [each.text for each in snippets(PAGE) if each.text.startswith('"""')]
    assert programs == [(ROOT / "examples" / name).read_text() for name in names]
    assert sorted(names) == sorted(p.name for p in (ROOT / "examples").glob("*.py"))


def test_an_aiohttp_application(tmp_path: Path) -> None:
    with program(tmp_path, "-m", "examples.aiohttp_app", PORT="0") as app:
        url = app.hear("Running on").split()[-2]
        for user in ("ann", "bob", "cleo"):
            get(f"{url}/login/{user}")
        get(f"{url}/logout/ann")
        ran = run_the_pages_commands(tmp_path, "billing")
        assert ran["status"][0] == 1  # it has an orphan, and says so
        assert re.search(r"^orphans +1 task$", ran["status"][1], re.MULTILINE)
        by_location = ran["tasks --by-location"][1]
        assert re.search(r"^examples/aiohttp_app.py:\d+ +3 +1 ", by_location, re.MULTILINE)
        assert "owner session of ann is gone" in ran["orphans"][1]
        assert ran["orphans --reap"][0] == 0
        assert "1 task" in ran["orphans --reap"][1]
        assert qcfeed(tmp_path, "--instance", "billing", "orphans").returncode == 0
        get(f"{url}/logout/bob")  # the program has gone on
        audit = (tmp_path / "qcfeed" / "billing.audit.jsonl").read_text().splitlines()
        assert [json.loads(line)["event"] for line in audit] == ["intent", "outcome"]
        assert app.end(signal.SIGTERM) == 0
        assert "Traceback" not in app.said
    assert not list((tmp_path / "qcfeed").glob("*.sock*"))


def test_a_starlette_application_under_uvicorn(tmp_path: Path) -> None:
    with program(
        tmp_path, "-m", "uvicorn", "--port", "0", "examples.starlette_app:app", "--no-use-colors"
    ) as app:
        found = re.search(r"http://\S+", app.hear("Uvicorn running on"))
        assert found is not None
        for _ in range(3):
            get(f"{found[0]}/price")
        ran = run_the_pages_commands(tmp_path, "shop")
        first = ran["tasks --by-location"][1].splitlines()[1]
        assert re.match(r"examples/starlette_app.py:\d+ +3 ", first)
        event = ran["tasks --by object"][1].splitlines()[1]
        assert re.match(r" *3  Event \d+ \(examples\.starlette_app\.changed\)  3 waiting ", event)
        assert ran["tasks --limit 5"][1].count("examples/starlette_app.py") == 3
        app.end(signal.SIGTERM)
        assert "Application shutdown complete" in app.said
        assert "Traceback" not in app.said
    assert not list((tmp_path / "qcfeed").glob("*.sock*"))


def test_a_script_that_is_killed_and_started_again(tmp_path: Path) -> None:
    socket = tmp_path / "qcfeed" / "nightly.sock"
    with program(tmp_path, "-m", "examples.script") as first:
        until(lambda: answers(tmp_path, "nightly"), "the first one's control plane")
        with program(tmp_path, "-m", "examples.script") as second:
            second.hear("this program is nightly-2: `qcfeed --instance nightly-2 status`")
            until(lambda: answers(tmp_path, "nightly-2"), "the second one's control plane")
        first.end(signal.SIGKILL)
        assert socket.exists()
    with program(tmp_path, "-m", "examples.script"):
        until(lambda: answers(tmp_path, "nightly"), "the next one's control plane")
        ran = run_the_pages_commands(tmp_path, "nightly")
        status = sound(lambda: qcfeed(tmp_path, "--instance", "nightly", "status"))
        assert re.search(r"^tasks +20 live", status.stdout, re.MULTILINE)
        assert ran["tasks"][1].count("examples/script.py") == 20
        found = [
            text for text in ran["tasks findings"][1].splitlines() if text.startswith("proved")
        ]
        assert not [text for text in found if "the loop was blocked" not in text]  # the machine's
        assert "examples/script.py:20 <module>" in ran["stacks"][1]


@pytest.mark.parametrize(
    "words", [["feeds"], ["feeds", "cancel", "--all", "--yes"], ["watch", "X"]]
)
def test_commands_about_feeds_say_that_the_program_has_none(
    tmp_path: Path, words: list[str]
) -> None:
    with program(tmp_path, "-m", "examples.script"):
        until(lambda: answers(tmp_path, "nightly"), "its control plane")
        ended = qcfeed(tmp_path, "--instance", "nightly", *words)
    assert ended.returncode == 2
    assert "this instance has no feeds: it is a program" in ended.stderr
    assert "hint: `qcfeed --instance nightly tasks --by-location`" in ended.stderr


def answers(home: Path, instance: str) -> bool:
    return qcfeed(home, "--instance", instance, "status").returncode in (0, 1)
