"""Finds the files that are shipped with qcfeed beside its modules, in a wheel or in a checkout.

Paths are strings: completion uses this module too, and importing pathlib takes 5 ms.
"""

from __future__ import annotations

import os

PACKAGE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - see above


def directory(name: str) -> str:
    """The directory ``name``: inside the package if installed from a wheel, else beside the package.

    ``force-include`` in pyproject.toml lists the directories of the wheel.
    """
    inside = f"{PACKAGE}/{name}"
    if os.path.isdir(inside):  # noqa: PTH112
        return inside
    return f"{os.path.dirname(PACKAGE)}/{name}"  # noqa: PTH120


def runbooks() -> list[str]:
    """The names of all runbooks, sorted, without the template."""
    pages = sorted(os.listdir(directory("runbooks")))  # noqa: PTH208
    return [page[:-3] for page in pages if page.endswith(".md") and page != "TEMPLATE.md"]
