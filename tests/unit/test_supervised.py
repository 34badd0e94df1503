from __future__ import annotations

import pytest

from qcfeed import supervised


@pytest.mark.parametrize("told", [None, "", "1", "{}", '{"ended": "x"}', "[]"])
def test_without_a_supervisors_word_there_are_no_restarts(
    told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if told is None:
        monkeypatch.delenv(supervised.VARIABLE, raising=False)
    else:
        monkeypatch.setenv(supervised.VARIABLE, told)
    assert supervised.is_supervised() is (told is not None)
    assert supervised.restarts() == {}


def test_a_process_reads_what_its_supervisor_told(monkeypatch: pytest.MonkeyPatch) -> None:
    restarts = {"ended": 1, "stuck": 2, "requested": 0}
    monkeypatch.setenv(supervised.VARIABLE, supervised.describe(restarts))
    assert supervised.restarts() == restarts


def test_a_successor_is_told_that_its_predecessor_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    for told in (True, False):
        monkeypatch.setenv(supervised.VARIABLE, supervised.describe({"ended": 1}, successor=told))
        assert supervised.is_successor() is told
    monkeypatch.delenv(supervised.VARIABLE)
    assert not supervised.is_successor()
