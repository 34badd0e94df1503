from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from qcfeed import shipped
from qcfeed.errors import ExitStatus
from qcfeed.metrics import rules
from qcfeed.metrics.artifacts import Artifact

from .conftest import Left

Command = Callable[..., Left]


def test_drills_are_listed(qcfeed_: Command) -> None:
    assert qcfeed_("artifacts", "-o", "name").out.split() == list(Artifact)
    said = json.loads(qcfeed_("artifacts", "-o", "json").out)
    assert said["schema"] == "qcfeed.artifacts/1"
    assert {each["file"] for each in said["artifacts"]} == {each.file for each in Artifact}


@pytest.mark.parametrize("artifact", Artifact)
def test_each_is_printed_as_it_is_shipped(qcfeed_: Command, artifact: Artifact) -> None:
    shipped_text = Path(shipped.directory("artifacts"), artifact.file).read_text()
    assert qcfeed_("artifacts", artifact.value).out == shipped_text


def test_no_file_is_shipped_that_has_no_name() -> None:
    files = {path.name for path in Path(shipped.directory("artifacts")).iterdir()}
    assert files == {artifact.file for artifact in Artifact}


def test_write_all_artifacts_or_one(qcfeed_: Command, tmp_path: Path) -> None:
    qcfeed_("artifacts", "--write", str(tmp_path / "all"), "--faster", "30")
    assert {path.name for path in (tmp_path / "all").iterdir()} == {a.file for a in Artifact}
    assert (tmp_path / "all" / "rules.yml").read_text() == rules.render(faster=30)
    qcfeed_("artifacts", "compose", "--write", str(tmp_path / "one"))
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["docker-compose.yml"]


def test_where_it_may_not_write_it_says_so(qcfeed_: Command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = qcfeed_("artifacts", "--write", str(tmp_path / "file" / "x"))
    assert said.status == ExitStatus.USAGE
    assert "cannot write" in said.err


def test_what_is_there_is_replaced_only_with_force(qcfeed_: Command, tmp_path: Path) -> None:
    edited = tmp_path / "docker-compose.yml"
    edited.write_text("mine\n")
    refused = qcfeed_("artifacts", "--write", str(tmp_path))
    assert refused.status == ExitStatus.REFUSED
    assert f"{edited} already exists" in refused.err
    assert [path.name for path in tmp_path.iterdir()] == ["docker-compose.yml"], "nothing else"
    assert qcfeed_("artifacts", "--write", str(tmp_path), "--force").status == ExitStatus.OK
    assert edited.read_text() != "mine\n"
    again = qcfeed_("artifacts", "--write", str(tmp_path))
    assert again.status == ExitStatus.OK, "the same content is no loss"
    assert f"unchanged: {edited}" in again.err
