"""The package in docs/how-to/upstreams.md: built, installed, checked by its own test, and served."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.snippets import snippets
from tests.support.patience import PATIENCE
from tests.support.shell import environment, qcfeed, serving
from tests.support.websockets_client import connect

PAGE = "docs/how-to/upstreams.md"


def files_of_the_page() -> dict[str, str]:
    return {each.saved_as: each.text for each in snippets(PAGE) if each.saved_as}


def run(home: Path, *command: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=home, env=environment(home) | variables, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=5 * PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the files, whose ``site`` has the installed wheel."""
    pytest.importorskip("hatchling", reason="the example's wheel is built with hatchling")
    home = tmp_path_factory.mktemp("author")
    files = files_of_the_page()
    assert set(files) == {"pyproject.toml", "qcfeed_dice.py", "test_dice.py"}
    for name, text in files.items():
        (home / name).write_text(text)
    run(
        home, "pip", "install", "--no-build-isolation", "--no-deps", "--no-index",
        "--disable-pip-version-check", "--target", "site", ".", PYTHONWARNINGS="default",
    )  # fmt: skip
    (home / "qcfeed_dice.py").unlink()  # from now on there is only the installed one
    return home


def test_it_passes_its_own_conformance_test(installed: Path) -> None:
    path = str(installed / "site")
    said = run(installed, "pytest", "-q", "-p", "no:cacheprovider", "test_dice.py", PYTHONPATH=path)
    assert "13 passed, 1 skipped" in said
    said = run(
        installed, "qcfeed.upstreams.conformance", "dice:?rate=1000",
        "--symbols", "D6,D20", "--unknown", "D7", PYTHONPATH=path,
    )  # fmt: skip
    assert said.count("passed ") == 13
    assert said.count("skipped ") == 1


def test_the_service_serves_its_quotes(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(installed / "site"))
    with (
        serving(tmp_path, "--no-monitor", "--upstream", "dice:?rate=100") as service,
        connect(f"{service.url}/quotes/D6") as reader,
    ):
        assert json.loads(reader.recv(timeout=PATIENCE))["last"] in range(1, 7)
        status = json.loads(qcfeed(tmp_path, "status", "-o", "json").stdout)
        assert status["upstream"] == "dice:"
    wrong = qcfeed(tmp_path, "serve", "--upstream", "dice:?rat=1")
    assert wrong.returncode == 2
    assert "unknown field `rat`" in wrong.stderr
    assert "rate: throws per second" in wrong.stderr


def test_without_the_package_the_error_says_what_there_is(tmp_path: Path) -> None:
    left = qcfeed(tmp_path, "serve", "--upstream", "dice:")
    assert left.returncode == 2
    assert "unknown scheme 'dice'" in left.stderr
    assert "one of sim:, replay:FILE, coinbase:" in left.stderr
