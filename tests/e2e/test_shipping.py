"""The wheel and the sdist: built, installed where nothing else of qcfeed is, and used from there."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE
from tests.support.program import process
from tests.support.shell import environment, until

ROOT = Path(__file__).parents[2]
RUNBOOKS = {page.name for page in (ROOT / "runbooks").glob("*.md")}
BUILD = 5 * PATIENCE
"""Seconds that a build or an installation may take on a busy machine."""


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    done = subprocess.run(
        [str(each) for each in command],
        cwd=cwd, env=environment(cwd) | variables, capture_output=True, text=True, timeout=BUILD,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a wheel that was built from an sdist that was built from here."""
    for needed in ("build", "hatchling"):
        pytest.importorskip(
            needed, reason=f"the wheel is built with {needed}: pip install {needed}"
        )
    directory = tmp_path_factory.mktemp("dist")
    run(
        sys.executable, "-m", "build", "--no-isolation", "--outdir", directory, ROOT,
        cwd=directory, PYTHONWARNINGS="default",
    )  # fmt: skip
    return directory


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, and of this one only what the wheel needs."""
    directory = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", "--without-pip", directory / "env", cwd=directory)
    python = directory / "env" / "bin" / "python"
    [wheel] = built.glob("*.whl")
    run(
        sys.executable, "-m", "pip", "--python", python, "install",
        "--no-deps", "--no-index", "--disable-pip-version-check", wheel, cwd=directory,
    )  # fmt: skip
    # Dependencies come from here, but not the checkout: a .pth of a .pth's directory is not read.
    asked = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = Path(run(python, "-c", asked, cwd=directory).strip())
    (own / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return directory / "env"


def test_the_wheel_has_its_files_once(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert len(names) == len(set(names))
    pages = {Path(name).name for name in names if name.startswith("qcfeed/runbooks/")}
    assert pages == RUNBOOKS
    assert not [name for name in names if name.startswith(("tests/", "runbooks/", "benchmarks/"))]
    assert "qcfeed/py.typed" in names
    page = {path.name for path in (ROOT / "qcfeed" / "status_page" / "assets").iterdir()}
    shipped = {Path(n).name for n in names if n.startswith("qcfeed/status_page/assets/")}
    assert shipped == page >= {"index.html", "page.css", "page.js"}


def test_the_sdist_can_be_tested_and_has_nothing_of_this_machine(built: Path) -> None:
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "pyproject.toml",
        "Makefile",
        "tests/conftest.py",
        "docs/explanation/architecture.md",
    } <= names
    assert not [name for name in names if name.startswith((".venv", ".git/", ".tools", "dist"))]


def test_the_command_works_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    qcfeed = installed / "bin" / "qcfeed"
    where = "import qcfeed; print(qcfeed.__file__)"
    assert str(installed) in run(installed / "bin" / "python", "-c", where, cwd=tmp_path)
    assert run(qcfeed, "--version", cwd=tmp_path).startswith("qcfeed 0.")
    listed = run(qcfeed, "runbook", "-o", "name", cwd=tmp_path).split()
    assert {f"{name}.md" for name in listed} == RUNBOOKS - {"TEMPLATE.md"}
    for name in listed:
        page = (ROOT / "runbooks" / f"{name}.md").read_text()
        assert run(qcfeed, "runbook", name, cwd=tmp_path) == page
    completed = run(qcfeed, "__complete", "fish", "runbook", "", cwd=tmp_path)
    assert completed.split() == listed


def test_the_wheel_contains_the_artifacts(installed: Path, tmp_path: Path) -> None:
    qcfeed = installed / "bin" / "qcfeed"
    run(qcfeed, "artifacts", "--write", "monitoring", cwd=tmp_path)
    written = {path.name: path.read_text() for path in (tmp_path / "monitoring").iterdir()}
    kept = {path.name: path.read_text() for path in (ROOT / "qcfeed" / "artifacts").iterdir()}
    assert written == kept


def test_shells_and_man_find_their_files(installed: Path, tmp_path: Path) -> None:
    share = installed / "share"
    for shell, path in {
        "bash": "bash-completion/completions/qcfeed",
        "zsh": "zsh/site-functions/_qcfeed",
        "fish": "fish/vendor_completions.d/qcfeed.fish",
    }.items():
        printed = run(installed / "bin" / "qcfeed", "completion", shell, cwd=tmp_path)
        assert (share / path).read_text() == printed
    assert (share / "man/man1/qcfeed.1").read_text() == (ROOT / "man/qcfeed.1").read_text()
    assert (share / "qcfeed/qcfeed.service").is_file()


def test_a_service_is_served_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    """Everything that `serve` imports is in it, and the commands find it."""
    serve = subprocess.Popen(
        [installed / "bin" / "qcfeed", "serve", "--port", "0", "--no-monitor"],
        cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert serve.stderr is not None
        assert any("  control" in line for line in serve.stderr)
        assert "serving" in run(installed / "bin" / "qcfeed", "status", cwd=tmp_path)
    finally:
        serve.terminate()
        assert serve.communicate(timeout=BUILD)[1].rstrip().endswith("0 live")


def line_in_installed(installed: Path, file: str, words: str) -> str:
    """``FILE:LINE`` of the line with ``words``, as commands show it."""
    [path] = installed.glob(f"lib/python*/site-packages/{file}")
    lines = path.read_text().splitlines()
    return f"{file}:{next(n for n, line in enumerate(lines, 1) if words in line)}"


def diagnosed(installed: Path, home: Path, instance: str, *words: str) -> str:
    """What ``diagnose`` says once it has found a fault of this kind."""
    command = (installed / "bin" / "qcfeed", "--instance", instance, "diagnose", "--window", "1s")
    said = ""

    def is_found() -> bool:
        nonlocal said
        left = subprocess.run(
            [str(each) for each in command],
            cwd=home, env=environment(home), capture_output=True, text=True, timeout=BUILD,
        )  # fmt: skip
        said = left.stdout
        return all(each in said for each in words)

    try:
        until(is_found, f"diagnose to say {words}")
    except AssertionError as error:
        error.add_note(said)
        raise
    return said


def test_the_service_s_own_line_is_named_though_it_is_an_installed_package(
    installed: Path, tmp_path: Path
) -> None:
    serving = (
        "--instance",
        "wheel",
        "serve",
        "--port",
        "0",
        "--no-monitor",
        "--drill",
        "stuck-loop",
    )
    with process([installed / "bin" / "qcfeed", *serving], tmp_path, cwd=tmp_path) as serve:
        serve.hear("  control")
        blocking = line_in_installed(installed, "qcfeed/drills/stuck_loop.py", "time.sleep(")
        said = diagnosed(installed, tmp_path, "wheel", "BLOCKED", blocking)
        assert "sys.exit(run())" not in said


APPLICATION = """
import asyncio, time
import exchange
from qcfeed import attach

async def main():
    attach("shop")
    kept = [exchange.watch() for _ in range(3)]  # watched
    loop = asyncio.get_running_loop()

    def block():
        time.sleep(0.3)  # blocks
        loop.call_later(0.1, block)

    block()
    await asyncio.sleep(3600)

def run():
    asyncio.run(main())
"""


def test_an_application_that_is_an_installed_package_is_no_library(
    installed: Path, tmp_path: Path
) -> None:
    [packages] = installed.glob("lib/python*/site-packages")
    (packages / "shop").mkdir()
    (packages / "shop" / "__init__.py").write_text(APPLICATION)
    (packages / "exchange.py").write_text(
        "import asyncio\ndef watch(): return asyncio.create_task(asyncio.sleep(3600))\n"
    )
    starter = installed / "bin" / "shop"  # as pip writes it
    starter.write_text("import sys\nfrom shop import run\nsys.exit(run())\n")
    with process([installed / "bin" / "python", starter], tmp_path, cwd=tmp_path):
        blocking = line_in_installed(installed, "shop/__init__.py", "# blocks")
        diagnosed(installed, tmp_path, "shop", "BLOCKED", blocking)
        watched = line_in_installed(installed, "shop/__init__.py", "# watched")
        qcfeed = installed / "bin" / "qcfeed"
        listed = run(qcfeed, "--instance", "shop", "tasks", "--by-location", cwd=tmp_path)
        assert f"exchange.py:2 < {watched}" in listed
