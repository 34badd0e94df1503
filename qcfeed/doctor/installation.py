"""Checks of the installation: qcfeed itself, its dependencies, and incompatible versions."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import qcfeed
from qcfeed import shipped
from qcfeed.doctor.check import Case, CheckFailedError, Skip
from qcfeed.model.status import ProgramStatus, ServiceStatus

_PIP = f"{sys.executable} -m pip install"
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*([<>=!~,.\s\d]*)")
_BOUND = re.compile(r"(>=|<=|<|>|==|!=)\s*([\d.]+)")

Version = tuple[int, ...]
PYTHON: Version = sys.version_info[:3]


def installation(_: Case) -> str:
    """qcfeed is installed with its files, and each dependency in a version that it supports."""
    try:
        installed = metadata.version("qcfeed")
    except metadata.PackageNotFoundError as error:
        raise CheckFailedError(
            "qcfeed runs without being installed", hint=f"`{_PIP} qcfeed`"
        ) from error
    if installed != qcfeed.__version__:
        raise CheckFailedError(
            f"qcfeed {qcfeed.__version__} is running, but {installed} is installed",
            hint=f"`{_PIP} --force-reinstall qcfeed`",
        )
    if not Path(shipped.directory("runbooks")).is_dir() or not shipped.runbooks():
        raise CheckFailedError(
            "the runbooks are missing", hint=f"`{_PIP} --force-reinstall qcfeed`"
        )
    required = [text for text in metadata.requires("qcfeed") or () if "extra ==" not in text]
    for requirement in required:
        _check_requirement(requirement)
    return f"qcfeed {installed} with its {len(required)} dependencies"


def _check_requirement(requirement: str) -> None:
    matched = _REQUIREMENT.match(requirement)
    if matched is None:
        return
    name, bounds = matched.groups()
    try:
        have = metadata.version(name)
    except metadata.PackageNotFoundError as error:
        raise CheckFailedError(
            f"{name} is not installed", hint=f"`{_PIP} '{requirement}'`"
        ) from error
    if not all(_holds(parse(have), *bound) for bound in _BOUND.findall(bounds)):
        raise CheckFailedError(
            f"{name} {have} is installed, qcfeed needs {bounds.strip()}",
            hint=f"`{_PIP} '{requirement}'`",
        )


def _holds(have: Version, operator: str, bound: str) -> bool:
    """Whether ``have`` satisfies the bound; 1.2 equals 1.2.0."""
    limit = parse(bound)
    length = max(len(have), len(limit))
    a, b = ((*each, *[0] * (length - len(each))) for each in (have, limit))
    return {
        ">=": a >= b, "<=": a <= b, "<": a < b, ">": a > b, "==": a == b, "!=": a != b,
    }[operator]  # fmt: skip


def parse(version: str) -> Version:
    """The release part of a version as numbers: (0, 23, 0) for ``0.23.0rc1``."""
    release = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, release[0].split("."))) if release else ()


class Incompatibility(NamedTuple):
    """A combination that does not work: all packages of ``least`` at these versions or later, on
    ``python`` or later."""

    least: Mapping[str, Version]
    python: Version
    why: str
    remedy: str
    only_attached: bool = False
    """True if it affects only programs that use ``qcfeed.attach()``, not ``qcfeed serve``."""


INCOMPATIBILITIES = (
    Incompatibility(
        {"uvloop": (0, 23), "aiomonitor": (0, 7)},
        (3, 13),
        "a program on uvloop that starts aiomonitor with its task-factory hook cannot create tasks",
        "start it with hook_task_factory=False, as qcfeed does",
        only_attached=True,
    ),
    Incompatibility(
        {"click": (9,), "aiomonitor": (0, 7)},
        (3, 11),
        "aiomonitor 0.7 cannot be imported with click 9",
        f"`{_PIP} 'click<9'`",
    ),
)


def versions(case: Case) -> str:
    """No incompatible versions are installed, and the service runs the same version of qcfeed."""
    have = {
        name: parse(found)
        for name in ("uvloop", "aiomonitor", "click")
        if (found := _version(name))
    }
    text = f"Python {'.'.join(map(str, PYTHON))}"
    text += "".join(f", {name} {'.'.join(map(str, number))}" for name, number in have.items())
    problems = incompatibilities(have, PYTHON)
    try:
        answer = case.service_or_program
    except Skip:
        answer = None
    if isinstance(answer, ServiceStatus) and answer.version != qcfeed.__version__:
        raise CheckFailedError(
            f"the service runs qcfeed {answer.version}, this is {qcfeed.__version__}",
            hint=f"`{_PIP} qcfeed=={answer.version}`, or restart the service",
        )
    if not isinstance(answer, ProgramStatus):
        # serve runs on asyncio's own loop, and attaches aiomonitor without the hook.
        text += "".join(f" (but {each.why})" for each in problems if each.only_attached)
        problems = [each for each in problems if not each.only_attached]
    if problems:
        raise CheckFailedError(f"{text}: {problems[0].why}", hint=problems[0].remedy)
    return text


def incompatibilities(have: Mapping[str, Version], python: Version) -> list[Incompatibility]:
    """The known incompatibilities that apply to these versions."""
    return [
        each
        for each in INCOMPATIBILITIES
        if python >= each.python
        and all(have.get(name, ()) >= least for name, least in each.least.items())
    ]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
