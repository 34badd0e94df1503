"""Where the files are that come with qcfeed and are no modules: in the wheel, or in a checkout.

Paths are text: a TAB asks too, and pathlib takes 5 ms to import.
"""

from __future__ import annotations

import os

PACKAGE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - see above


def directory(name: str) -> str:
    """The directory ``name``: inside the package where a wheel was installed, else beside it.

    pyproject.toml says what a wheel has (``force-include``).
    """
    inside = f"{PACKAGE}/{name}"
    if os.path.isdir(inside):  # noqa: PTH112
        return inside
    return f"{os.path.dirname(PACKAGE)}/{name}"  # noqa: PTH120


def runbooks() -> list[str]:
    """The names of the runbooks, in order. The template is none."""
    pages = sorted(os.listdir(directory("runbooks")))  # noqa: PTH208
    return [page[:-3] for page in pages if page.endswith(".md") and page != "TEMPLATE.md"]
