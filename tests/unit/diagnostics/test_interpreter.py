"""Which interpreters are refused; that the refusal comes before anything else is tests/integration's."""

from __future__ import annotations

import pytest

from qcfeed.diagnostics import interpreter


@pytest.mark.parametrize("version", [(3, 11), (3, 15)])
def test_standard_cpython_is_taken(version: tuple[int, int]) -> None:
    assert interpreter.judge("cpython", version, free_threaded=False) is None


def test_the_interpreter_that_runs_this_is_taken() -> None:
    assert interpreter.refusal() is None


def test_a_free_threaded_build_is_refused() -> None:
    refused = interpreter.judge("cpython", (3, 14), free_threaded=True)
    assert refused is not None
    assert refused.message.startswith("this Python 3.14 is a free-threaded build: ")
    assert refused.hint == (
        "run it on the standard build, for example `python3.14`; PYTHON_GIL=1 is not enough"
    )


@pytest.mark.parametrize("implementation", ["pypy", "graalpy"])
@pytest.mark.parametrize("free_threaded", [False, True])
def test_another_implementation_is_refused(implementation: str, free_threaded: bool) -> None:
    refused = interpreter.judge(implementation, (3, 11), free_threaded=free_threaded)
    assert refused is not None
    assert refused.message.startswith(f"this Python is {implementation} (3.11): ")
    assert refused.hint == "run it on CPython, for example `python3.11`"
