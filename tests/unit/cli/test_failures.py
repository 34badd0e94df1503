"""A command that fails with -o json prints its error as JSON on stderr."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable

import msgspec
import pytest

from qcfeed.cli import failures
from qcfeed.errors import ExitStatus, NeedsConfirmationError, TimedOutError
from qcfeed.model.answer import ErrorAnswer

from .conftest import Left, Watched

Command = Callable[..., Left]


def error_in(text: str) -> ErrorAnswer:
    """The error on the last line of stderr."""
    return msgspec.json.decode(text.strip().splitlines()[-1], type=ErrorAnswer)


@pytest.mark.parametrize(
    ("args", "code", "status"),
    [
        (["-i", "gone", "status", "-o", "json"], "unreachable", ExitStatus.UNREACHABLE),
        (["-i", "gone", "feeds", "--output=json"], "unreachable", ExitStatus.UNREACHABLE),
        (["feeds", "-ojson", "-i", "gone"], "unreachable", ExitStatus.UNREACHABLE),
        (["feeds", "-o", "json", "--no-such"], "usage", ExitStatus.USAGE),
        (["explain", "no-such-word", "-o", "json"], "not_found", ExitStatus.USAGE),
        (["-c", "none", "tasks", "-o", "json"], "not_found", ExitStatus.USAGE),
    ],
)
def test_an_error_is_one_json_object(
    qcfeed_: Command, args: list[str], code: str, status: int
) -> None:
    left = qcfeed_(*args)
    found = error_in(left.err)
    assert (left.status, left.out) == (status, "")
    assert (found.code, found.exit_status) == (code, status)
    assert "qcfeed: error" not in left.err
    text = qcfeed_(*(word for word in args if "json" not in word and word != "-o"))
    assert f"qcfeed: error: {found.message}" in text.err
    assert f"hint: {found.hint}" in text.err
    assert text.status == status


def test_the_hint_repeats_the_target(qcfeed_: Command) -> None:
    found = error_in(qcfeed_("-i", "gone", "drill", "start", "no-such", "-o", "json").err)
    assert "`qcfeed --instance gone drill list`" in (found.hint or "")


@pytest.mark.parametrize("args", [["feeds", "-o", "csv"], ["feeds"], ["feeds", "--", "-o", "json"]])
def test_other_formats_have_text(args: list[str]) -> None:
    assert not failures.wants_json(args)


def test_the_stack_of_a_stuck_loop_and_a_traceback_are_part_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stuck = TimedOutError("not begun")
    stuck.add_note("  a.py:1 f\n")
    asked = ["status", "-o", "json"]
    assert failures.report(stuck, asked) == ExitStatus.TIMED_OUT
    assert error_in(capsys.readouterr().err).loop_stack == ["  a.py:1 f"]
    assert failures.report(ValueError("no\udcff"), asked) == ExitStatus.BUG
    found = error_in(capsys.readouterr().err)
    assert (found.code, found.exit_status) == ("bug", 70)
    assert "no\\udcff" in found.message
    assert "ValueError: no\\udcff" in str(found.traceback)
    assert failures.report(NeedsConfirmationError("no"), asked) == ExitStatus.REFUSED
    assert error_in(capsys.readouterr().err).hint is None


def test_a_full_disk_is_told_as_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "discard", lambda _: None)  # pytest's stdout is its own
    error = OSError(errno.ENOSPC, "No space left on device")
    assert failures.report(error, ["feeds", "-o", "json"]) == ExitStatus.USAGE
    assert error_in(capsys.readouterr().err).code == "output"


async def test_the_running_instances_are_named(watched: Watched, qcfeed_: Command) -> None:
    watched.serve("prod")
    watched.serve("billing")
    left = await asyncio.to_thread(qcfeed_, "-i", "xyz", "status")
    assert left.status == ExitStatus.UNREACHABLE
    assert f"running: billing (pid {os.getpid()}), prod (pid {os.getpid()})" in left.err
    assert "name one, for example `qcfeed --instance billing ...`" in left.err
