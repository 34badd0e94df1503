from __future__ import annotations

from pathlib import Path

import pytest

from qcfeed import shipped
from qcfeed.doctor import installation
from qcfeed.doctor.check import Case, CheckFailedError


def plant(directory: Path, name: str, version: str, *requires: str) -> None:
    """An installed distribution, in front of the real one of that name."""
    info = directory / f"{name}-{version}.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    (info / "METADATA").write_text(
        "\n".join([*lines, *(f"Requires-Dist: {each}" for each in requires), ""])
    )


def test_this_environment_passes() -> None:
    assert installation.installation(Case()).startswith("qcfeed 0.")


def test_an_old_dependency_fails_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, "wsproto", "0.9")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        CheckFailedError, match=r"wsproto 0\.9 is installed, qcfeed needs >=1\.2"
    ) as caught:
        installation.installation(Case())
    assert "pip install 'wsproto>=1.2'" in (caught.value.hint or "")


def test_a_new_dependency_fails_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, "aiomonitor", "0.8.0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CheckFailedError, match=r"aiomonitor 0\.8\.0 is installed"):
        installation.installation(Case())


def test_a_dependency_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import qcfeed

    plant(tmp_path, "qcfeed", qcfeed.__version__, "no-such-thing>=1", "extra-thing; extra == 'x'")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CheckFailedError, match="no-such-thing is not installed"):
        installation.installation(Case())


def test_running_another_version_than_installed_fails_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, "qcfeed", "9.9")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CheckFailedError, match=r"is running, but 9\.9 is installed"):
        installation.installation(Case())


def test_missing_runbooks_fail_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "PACKAGE", str(tmp_path / "qcfeed"))
    with pytest.raises(CheckFailedError, match="the runbooks are missing"):
        installation.installation(Case())


@pytest.mark.parametrize(
    ("have", "python", "why"),
    [
        ({"uvloop": (0, 23, 0), "aiomonitor": (0, 7, 1)}, (3, 13, 0), "cannot create tasks"),
        ({"uvloop": (0, 24), "aiomonitor": (0, 7, 1)}, (3, 14), "cannot create tasks"),
        ({"click": (9, 0), "aiomonitor": (0, 7, 1)}, (3, 11), "cannot be imported with click 9"),
        ({"uvloop": (0, 22), "aiomonitor": (0, 7, 1)}, (3, 13), None),
        ({"uvloop": (0, 23), "aiomonitor": (0, 7, 1)}, (3, 12, 9), None),
        ({"uvloop": (0, 23)}, (3, 13), None),
        ({"click": (8, 5, 1), "aiomonitor": (0, 7, 1)}, (3, 13), None),
    ],
)
def test_incompatible_versions(
    have: dict[str, tuple[int, ...]], python: tuple[int, ...], why: str | None
) -> None:
    found = installation.incompatibilities(have, python)
    assert [each.why for each in found if why is None or why not in each.why] == []
    assert bool(found) == (why is not None)


def test_an_incompatible_click_fails_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, "click", "9.0.0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        CheckFailedError, match=r"click 9\.0\.0.*: aiomonitor 0\.7 cannot be imported with click 9"
    ):
        installation.versions(Case())


@pytest.mark.parametrize(
    ("version", "release"),
    [("0.23.0", (0, 23, 0)), ("0.23.0rc1", (0, 23, 0)), ("9", (9,)), ("x", ())],
)
def test_a_version_is_its_numbers(version: str, release: tuple[int, ...]) -> None:
    assert installation.parse(version) == release
