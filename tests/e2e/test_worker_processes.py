"""``attach`` in worker processes that a server forks, ends and replaces: each worker serves and answers."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from tests.support.program import program
from tests.support.shell import qcfeed, until

GUNICORN = ("-m", "gunicorn", "-k", "asgi", "-w", "2", "-b", "127.0.0.1:0")


def answering(home: Path) -> set[str]:
    """The processes that answer under ``shop``, ``shop-2`` and so on."""
    names = [each.stem for each in (home / "qcfeed").glob("shop*.sock")]
    found = (re.search(r"pid (\d+)", qcfeed(home, "--instance", n, "status").stdout) for n in names)
    return {each[1] for each in found if each}


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["", "preload"])
def test_gunicorn_s_new_workers_boot_while_the_old_ones_still_have_their_names(
    tmp_path: Path, preload: tuple[str, ...]
) -> None:
    with program(tmp_path, *GUNICORN, *preload, "examples.starlette_app:app") as master:
        until(lambda: len(answering(tmp_path)) == 2, "two workers")
        old = answering(tmp_path)
        master.process.send_signal(signal.SIGHUP)
        until(
            lambda: len(new := answering(tmp_path)) == 2 and not new & old,
            "two workers in their place",
        )
        assert master.end(signal.SIGTERM) == 0
    assert "Traceback" not in master.said
    assert "shop already runs here" in master.said
    assert not list((tmp_path / "qcfeed").glob("*.sock*"))
