from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from qcfeed.net import descriptors
from qcfeed.net.descriptors import Reserve


def test_a_reserve_holds_descriptors_and_gives_them_up_one_by_one() -> None:
    before = descriptors.in_use()
    reserve = Reserve(3)
    assert before is not None
    assert descriptors.in_use() == before + 3
    assert [reserve.release() for _ in range(4)] == [True, True, True, False]
    assert descriptors.in_use() == before
    assert reserve.refill()
    assert len(reserve) == 3
    reserve.close()
    assert descriptors.in_use() == before


def test_a_call_that_lacks_descriptors_is_tried_again_with_more() -> None:
    reserve, left = Reserve(3), []

    def call() -> str:
        left.append(len(reserve))
        if len(left) < 3:
            raise OSError(errno.EMFILE, "too many")
        return "done"

    assert reserve.attempt(call) == "done"
    assert left == [3, 2, 1]
    reserve.close()


def test_the_error_is_raised_when_the_reserve_is_used_up() -> None:
    reserve = Reserve(2)

    def call() -> None:
        raise OSError(errno.ENFILE, "too many")

    with pytest.raises(OSError, match="too many"):
        reserve.attempt(call)
    assert len(reserve) == 0
    reserve.close()


def test_other_errors_take_nothing_from_the_reserve(tmp_path: Path) -> None:
    reserve = Reserve(2)
    with pytest.raises(FileNotFoundError):
        reserve.attempt(lambda: os.open(tmp_path / "none", os.O_RDONLY))
    assert len(reserve) == 2
    reserve.close()
