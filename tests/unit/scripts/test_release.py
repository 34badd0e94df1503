"""The check before a release, and the workflows that build one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import interpreters
import pytest
import release_check
import yaml

from tests.support.patience import PATIENCE

ROOT = Path(__file__).parents[3]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A project in which everything says 0.2.0."""
    files = {
        "qcfeed/__init__.py": '__version__ = "0.2.0"\n',
        "CHANGELOG.md": "## [Unreleased]\n\n## [0.2.0] - 2026-12-01\n\n- x\n",
        "docs/release-notes/0.2.0.md": "# 0.2.0\n",
        "tests/compatibility/released.json": json.dumps({"version": "0.2.0"}),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_release_of_which_everything_says_so_has_no_complaints(released: Path) -> None:
    assert list(release_check.complaints("v0.2.0", released)) == []


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("qcfeed/__init__.py", '__version__ = "0.1.0"\n', "__init__"),
        ("CHANGELOG.md", "## [Unreleased]\n\n## [0.2.0]\n", "no section"),
        ("CHANGELOG.md", "## [Unreleased]\n\n- y\n\n## [0.2.0] - 2026-12-01\n", "entries"),
        ("docs/release-notes/0.2.0.md", None, "is missing"),
        ("tests/compatibility/released.json", '{"version": "0.1.0"}', "make released"),
    ],
)
def test_each_thing_that_says_something_else_is_told(
    released: Path, file: str, text: str | None, told: str
) -> None:
    if text is None:
        (released / file).unlink()
    else:
        (released / file).write_text(text)
    [complaint] = release_check.complaints("v0.2.0", released)
    assert told in complaint


def test_a_tag_that_is_no_version_is_a_usage_error() -> None:
    assert release_check.main(["0.2"]) == 2


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_calls_make_targets_that_there_are_and_pins_its_actions(path: Path) -> None:
    text = path.read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = set(re.findall(r"make ([a-z-]+)", text.partition("jobs:")[2]))
    assert called
    assert called <= targets
    uses = re.findall(r"uses: (\S+)(.*)", text)
    assert uses
    for action, comment in uses:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), f"{action} has no version beside it"


def test_ci_tests_every_supported_python() -> None:
    jobs = yaml.safe_load((GITHUB / "workflows" / "ci.yml").read_text())["jobs"]
    assert jobs["test"]["strategy"]["matrix"]["python"] == list(interpreters.supported())


def test_only_the_jobs_that_sign_or_publish_may_write() -> None:
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {}
        for name, job in workflow["jobs"].items():
            writes = {key for key, may in job["permissions"].items() if may == "write"}
            allowed = {
                "build": {"id-token", "attestations"}, "pypi": {"id-token"}, "github": {"contents"},
            }  # fmt: skip
            assert writes <= allowed.get(name, set()), f"{path.name}: {name}"


def test_the_issue_forms_are_valid_and_the_bug_asks_for_version_and_report() -> None:
    forms = [path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config"]
    assert len(forms) >= 3
    reader = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.github-issue-forms",
    ]
    done = subprocess.run(
        [*reader, *forms], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    bug = yaml.safe_load((GITHUB / "ISSUE_TEMPLATE" / "bug.yml").read_text())
    labels = {field["attributes"].get("label") for field in bug["body"]}
    assert {"qcfeed version -o json", "qcfeed report"} <= labels
