from __future__ import annotations

import json

from qcfeed.workers.supervisor import named


def test_a_line_of_a_worker_has_its_name() -> None:
    assert named("8006-1", "hello\x1b", "text") == "8006-1: hello\\x1b"


def test_a_json_line_stays_one_json_object_with_the_name_of_the_process() -> None:
    line = json.dumps({"level": "INFO", "message": "h\u00e9"})
    assert json.loads(named("8006-1", line, "json")) == {
        "process": "8006-1",
        "level": "INFO",
        "message": "h\u00e9",
    }
    for text in ("plain", "[1]", "{"):
        assert named("8006-1", text, "json") == f"8006-1: {text}"
