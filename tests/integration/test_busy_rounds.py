"""``make test-busy``: what failed in which round, and no busy process left behind."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from tests.support.patience import PATIENCE
from tests.support.processes import has_ended
from tests.support.shell import until

SCRIPT = Path(__file__).parents[2] / "scripts" / "test_busy.py"
SOME = """
import pytest

@pytest.mark.parametrize("word", ["good", "bad"])
def test_word(word):
    assert word != "bad"

def test_teardown(broken):
    pass

@pytest.fixture
def broken():
    yield
    raise RuntimeError

@pytest.mark.skip
def test_later():
    pass
"""


@pytest.fixture(scope="module")
def busy() -> ModuleType:
    spec = importlib.util.spec_from_file_location("busy_rounds", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["busy_rounds"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def rounds(busy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Rounds over files of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(busy, "ROOT", tmp_path)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    def rounds(*args: str, **files: str) -> int:
        for name, text in files.items():
            (tmp_path / f"test_{name}.py").write_text(text)
        status: int = busy.main([*args, "--busy", "1", str(tmp_path)])
        return status

    return rounds


def test_each_failing_test_is_listed_once_by_its_id(rounds, capsys) -> None:
    assert rounds("--rounds", "2", "--seed", "7", some=SOME) == 1
    told = capsys.readouterr().out.partition("\nSEED=7\n")[2].splitlines()
    for number, at in ((1, 0), (2, 3)):
        assert told[at].startswith(f"round {number}: 1 passed, 1 skipped, 2 failed in ")
        assert told[at + 1 : at + 3] == [
            "  test_some.py::test_word[bad]",
            "  test_some.py::test_teardown",
        ]


def test_a_good_round_is_good(rounds) -> None:
    assert rounds("--rounds", "1", some="def test_it(): pass") == 0


@pytest.mark.parametrize("text", ["", "import nothing_of_that_name"])
def test_a_round_without_a_test_is_none(rounds, text: str, capsys) -> None:
    assert rounds("--rounds", "1", some=text) == 1


def test_a_seed_gives_the_same_orders(busy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    orders: list[list[str]] = []

    def note(files: list[str], _: object) -> object:
        orders.append(list(files))
        return busy.Round(0, passed=1)

    monkeypatch.setattr(busy, "run_suite", note)
    for _ in range(2):
        assert busy.main(["--rounds", "2", "--busy", "0", "--seed", "8312"]) == 0
    first, second, *again = orders
    assert again == [first, second]
    assert first != second
    assert sorted(first) == sorted(second)
    assert str(Path("tests/integration/test_busy_rounds.py")) in first


def test_busy_processes_end_however_the_block_ends(busy: ModuleType) -> None:
    started = []
    for error in (KeyboardInterrupt, SystemExit):
        with pytest.raises(error), busy.busy_processes(2) as processes:  # noqa: PT012
            assert all(each.poll() is None for each in processes)
            started += processes
            raise error
    assert len(started) == 4
    assert all(each.poll() is not None for each in started)


def test_busy_processes_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = (
        "import runpy, time\n"
        f"busy = runpy.run_path({str(SCRIPT)!r})\n"
        "with busy['busy_processes'](1) as [process]:\n"
        "    print(process.pid, flush=True)\n"
        "    time.sleep(3600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=os.environ
    ) as parent:
        assert parent.stdout is not None
        busy = psutil.Process(int(parent.stdout.readline()))
        assert busy.is_running()
        parent.kill()
        parent.wait(PATIENCE)
    until(lambda: has_ended(busy), "its end")
