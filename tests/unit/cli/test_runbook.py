from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from qcfeed import shipped
from qcfeed.diagnose.runbooks import PAGES
from qcfeed.drills.catalog import DRILLS
from qcfeed.errors import ExitStatus

from .conftest import Left

Command = Callable[..., Left]
RUNBOOKS = Path(__file__).parents[3] / "runbooks"


def test_the_list_has_every_page_with_what_it_is_about(qcfeed_: Command) -> None:
    lines = qcfeed_("runbook").out.splitlines()
    assert lines[0].split() == ["NAME", "ABOUT"]
    pages = sorted(page.stem for page in RUNBOOKS.glob("*.md") if page.stem != "TEMPLATE")
    assert [line.split()[0] for line in lines[1:]] == pages
    listed = json.loads(qcfeed_("runbook", "-o", "json").out)
    assert listed["schema"] == "qcfeed.runbooks/1"
    for page in listed["runbooks"]:
        assert page["about"].strip()
        assert page["title"] in (RUNBOOKS / f"{page['name']}.md").read_text()


def test_a_piped_page_is_plain_text(qcfeed_: Command) -> None:
    text = (RUNBOOKS / "QcfeedOrphanedTasks.md").read_text()
    assert qcfeed_("runbook", "qcfeedorphanedtasks") == Left(0, text, "")
    as_json = json.loads(qcfeed_("runbook", "QcfeedOrphanedTasks", "-o", "json").out)
    assert (as_json["schema"], as_json["text"]) == ("qcfeed.runbook/1", text)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("QcfeedOrphandTasks", "did you mean `qcfeed runbook QcfeedOrphanedTasks`?"),
        ("zzz", "lists them"),
    ],
)
def test_an_unknown_runbook_is_an_error_with_a_suggestion(
    qcfeed_: Command, name: str, hint: str
) -> None:
    left = qcfeed_("runbook", name)
    assert left.status == ExitStatus.USAGE
    assert f"no runbook '{name}'" in left.err
    assert hint in left.err


def test_the_template_is_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runbooks").mkdir()
    for name in ("TEMPLATE.md", "b.md", "a.md", "notes.txt"):
        (tmp_path / "runbooks" / name).touch()
    monkeypatch.setattr(shipped, "PACKAGE", str(tmp_path))
    assert shipped.runbooks() == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("zombie-feeds", "QcfeedOrphanedTasks"),
        ("subscribe-storm", "subscribe-storm"),
        ("never_ending", "QcfeedTaskGrowth"),
    ],
)
def test_a_page_is_found_by_its_drill_and_by_its_rule(
    qcfeed_: Callable[..., Left], name: str, page: str
) -> None:
    left = qcfeed_("runbook", name, "-o", "name")
    assert (left.status, left.out) == (ExitStatus.OK, f"{page}\n")


def test_every_drill_and_every_rule_has_a_page_that_is_found(
    qcfeed_: Callable[..., Left],
) -> None:
    for name in (*(each.name for each in DRILLS), *PAGES):
        assert qcfeed_("runbook", name, "-o", "name").status == ExitStatus.OK, name


def test_the_list_has_no_markdown(qcfeed_: Callable[..., Left]) -> None:
    listed = qcfeed_("runbook").out
    assert not re.search(r"[`*]|\]\(", listed), listed
