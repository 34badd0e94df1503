"""What the whole suite needs. Its leak check is the plugin's: see pyproject.toml."""

from __future__ import annotations

import resource


def pytest_configure() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:  # storms of thousands of connections have both ends in this process
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
