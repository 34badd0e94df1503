from __future__ import annotations

import contextvars
import logging
import stat
import threading
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from qcfeed.control import audit
from qcfeed.control.audit import AuditLog, Caller
from qcfeed.diagnose.report.sections import detail
from qcfeed.errors import NotAllowedError, StartError

CALLER = Caller("socket", 1000, "ana", 4711)


class Request(msgspec.Struct):
    symbols: list[str] = []


@pytest.fixture
def log(tmp_path):
    log = AuditLog(tmp_path / "state" / "log")
    log.check()
    return log


def lines(log):
    return [msgspec.json.decode(line) for line in log.path.read_bytes().splitlines()]


def test_intent_and_outcome(log):
    entry = log.intend("feeds.cancel", CALLER, Request(["AAPL"]))
    entry.notes.update(before={"subscribers": 3})
    log.conclude(entry, "done", answer=Request(["AAPL"]))
    intent, outcome = lines(log)
    assert datetime.fromisoformat(intent.pop("at")).utcoffset() == timedelta(0)
    assert intent == {
        "id": entry.id,
        "event": "intent",
        "action": "feeds.cancel",
        "who": {"via": "socket", "uid": 1000, "user": "ana", "pid": 4711},
        "request": {"symbols": ["AAPL"]},
    }
    assert outcome["outcome"] == "done"
    assert outcome["before"] == {"subscribers": 3}
    assert outcome["after"] == {"symbols": ["AAPL"]}


def test_what_is_absent_is_left_out(log):
    entry = log.intend("drill start", CALLER, {"drill": "stuck-loop", "for_s": None})
    log.conclude(entry, "done", answer={"stopped": None, "left": [{"why": None}]})
    intent, outcome = lines(log)
    assert intent["request"] == {"drill": "stuck-loop"}
    assert outcome["after"] == {"left": [{}]}
    assert detail({"after": {"schema": "x/1", "for_s": None, "left": 0}}) == "left 0"


def test_a_note_after_takes_precedence_over_the_answer(log):
    entry = log.intend("x", CALLER, None)
    entry.notes.update(after="nothing left")
    log.conclude(entry, "done", answer=Request())
    assert lines(log)[1]["after"] == "nothing left"


def test_a_line_stays_a_line(log):
    log.intend("x", CALLER, Request(['a\n{"event":"outcome"}\n']))
    assert len(lines(log)) == 1


def test_long_lists_are_shortened_and_counted(log):
    log.intend("x", CALLER, Request([str(n) for n in range(audit.LISTED + 5)]))
    symbols = lines(log)[0]["request"]["symbols"]
    assert len(symbols) == audit.LISTED + 1
    assert symbols[-1] == "and 5 more"


def test_private_appended_and_rotatable(log):
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600
    log.intend("first", CALLER, None)
    log.path.rename(log.path.with_suffix(".1"))
    log.intend("second", CALLER, None)
    assert [line["action"] for line in lines(log)] == ["second"]


def test_threads_do_not_tear_each_others_lines(log):
    request = Request(["x" * 200] * 100)
    threads = [
        threading.Thread(target=lambda: [log.intend("x", CALLER, request) for _ in range(20)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines(log)) == 160


def test_an_intent_that_cannot_be_written(log):
    log.path.unlink()
    log.path.mkdir()
    with pytest.raises(NotAllowedError, match="cannot be written") as raised:
        log.intend("x", CALLER, None)
    assert "nothing was done" in raised.value.hint


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk():
    with pytest.raises(NotAllowedError, match="No space left"):
        AuditLog(Path("/dev/full")).intend("x", CALLER, None)


def test_an_outcome_that_cannot_be_written_is_logged(log, caplog):
    entry = log.intend("orphans.reap", CALLER, None)
    log.path.unlink()
    log.path.mkdir()
    with caplog.at_level(logging.ERROR):
        log.conclude(entry, "done")
    assert f"outcome of orphans.reap ({entry.id}) is done" in caplog.text


def test_a_log_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="cannot write the audit log"):
        AuditLog(tmp_path / "file" / "log").check()


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartError):
        AuditLog(tmp_path / "log").check()
    assert [file.name for file in tmp_path.iterdir()] == ["log"]


def test_notes_go_to_the_action_and_nowhere_else():
    notes: dict[str, object] = {}

    def act():
        audit.note(before=1)
        audit.collect_notes(notes)
        audit.note(before=2)

    contextvars.copy_context().run(act)
    audit.note(before=3)
    assert notes == {"before": 2}
