"""What is installed: qcfeed itself, what it needs, and versions that do not go together."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import qcfeed
from qcfeed import shipped
from qcfeed.doctor.check import Case, FaultError, Skip
from qcfeed.model.answers import Process, Status

_PIP = f"{sys.executable} -m pip install"
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*([<>=!~,.\s\d]*)")
_BOUND = re.compile(r"(>=|<=|<|>|==|!=)\s*([\d.]+)")

Version = tuple[int, ...]
PYTHON: Version = sys.version_info[:3]


def installation(_: Case) -> str:
    """qcfeed's own files, and each of its dependencies in a version that it was tried with."""
    try:
        installed = metadata.version("qcfeed")
    except metadata.PackageNotFoundError as error:
        raise FaultError("qcfeed is run but not installed", hint=f"`{_PIP} qcfeed`") from error
    if installed != qcfeed.__version__:
        raise FaultError(
            f"qcfeed {qcfeed.__version__} runs, but {installed} is installed",
            hint=f"`{_PIP} --force-reinstall qcfeed`",
        )
    if not Path(shipped.directory("runbooks")).is_dir() or not shipped.runbooks():
        raise FaultError("the runbooks are missing", hint=f"`{_PIP} --force-reinstall qcfeed`")
    needed = [text for text in metadata.requires("qcfeed") or () if "extra ==" not in text]
    for requirement in needed:
        _satisfied(requirement)
    return f"qcfeed {installed} with its {len(needed)} dependencies"


def _satisfied(requirement: str) -> None:
    matched = _REQUIREMENT.match(requirement)
    if matched is None:
        return
    name, bounds = matched.groups()
    try:
        have = metadata.version(name)
    except metadata.PackageNotFoundError as error:
        raise FaultError(f"{name} is not installed", hint=f"`{_PIP} '{requirement}'`") from error
    if not all(_holds(parse(have), *bound) for bound in _BOUND.findall(bounds)):
        raise FaultError(
            f"{name} {have} is installed, qcfeed needs {bounds.strip()}",
            hint=f"`{_PIP} '{requirement}'`",
        )


def _holds(have: Version, operator: str, bound: str) -> bool:
    wanted = parse(bound)
    longest = max(len(have), len(wanted))
    a, b = ((*each, *[0] * (longest - len(each))) for each in (have, wanted))
    return {
        ">=": a >= b, "<=": a <= b, "<": a < b, ">": a > b, "==": a == b, "!=": a != b,
    }[operator]  # fmt: skip


def parse(version: str) -> Version:
    """The release of a version, as numbers: ``0.23.0rc1`` is (0, 23, 0)."""
    release = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, release[0].split("."))) if release else ()


class Broken(NamedTuple):
    """Versions that do not go together: all of ``least`` at once."""

    least: Mapping[str, Version]
    python: Version
    why: str
    remedy: str
    only_attached: bool = False
    """Whether only a program with qcfeed.attach can meet it, and not ``qcfeed serve``."""


KNOWN_BROKEN = (
    Broken(
        {"uvloop": (0, 23), "aiomonitor": (0, 7)},
        (3, 13),
        "a program on uvloop that starts aiomonitor with its task-factory hook can create no task",
        "start it with hook_task_factory=False, as qcfeed does",
        only_attached=True,
    ),
    Broken(
        {"click": (9,), "aiomonitor": (0, 7)},
        (3, 11),
        "aiomonitor 0.7 does not import with click 9",
        f"`{_PIP} 'click<9'`",
    ),
)


def versions(case: Case) -> str:
    """Versions that are known not to go together, and a service that is of another version."""
    have = {
        name: parse(found)
        for name in ("uvloop", "aiomonitor", "click")
        if (found := _version(name))
    }
    told = f"Python {'.'.join(map(str, PYTHON))}"
    told += "".join(f", {name} {'.'.join(map(str, number))}" for name, number in have.items())
    pairs = broken(have, PYTHON)
    try:
        answer = case.program
    except Skip:
        answer = None
    if isinstance(answer, Status) and answer.version != qcfeed.__version__:
        raise FaultError(
            f"the service is qcfeed {answer.version}, this is {qcfeed.__version__}",
            hint=f"`{_PIP} qcfeed=={answer.version}`, or restart the service",
        )
    if not isinstance(answer, Process):
        # serve runs on asyncio's own loop, and attaches aiomonitor without the hook.
        told += "".join(f" (but {each.why})" for each in pairs if each.only_attached)
        pairs = [each for each in pairs if not each.only_attached]
    if pairs:
        raise FaultError(f"{told}: {pairs[0].why}", hint=pairs[0].remedy)
    return told


def broken(have: Mapping[str, Version], python: Version) -> list[Broken]:
    """Which of KNOWN_BROKEN these are."""
    return [
        each
        for each in KNOWN_BROKEN
        if python >= each.python
        and all(have.get(name, ()) >= least for name, least in each.least.items())
    ]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
