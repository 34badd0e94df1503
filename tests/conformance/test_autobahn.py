"""A part of Autobahn's TestSuite; `make conformance` runs all of it."""

from __future__ import annotations

from pathlib import Path

from tests.conformance import autobahn
from tests.support.patience import PATIENCE

QUICK = ("1.*", "2.*", "3.*", "4.*", "5.1", "5.8", "5.15", "6.1.*", "6.3.*", "6.4.1", "7.*", "12.1.1", "13.1.1")  # fmt: skip
"""Everything about frames and closing, and one case of what takes long."""


@autobahn.needs_wstest
def test_the_server_passes(tmp_path: Path) -> None:
    results = autobahn.against_the_server(QUICK, tmp_path, 4 * PATIENCE)
    assert [each for each in results if each.failed] == []
    assert sum(each.ran for each in results) == len(results) > 80


@autobahn.needs_wstest
def test_the_client_passes(tmp_path: Path) -> None:
    results = autobahn.against_the_client(QUICK, tmp_path, 4 * PATIENCE, ("12.*", "13.*"))
    assert [each for each in results if each.failed] == []
    assert len(results) > 80
