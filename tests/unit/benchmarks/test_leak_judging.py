"""What the leak benchmark reads from the tools' answers, and how it judges them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.leaks import places, report
from benchmarks.leaks.catalog import Program, catalog, load
from benchmarks.leaks.judging import (
    Place,
    Row,
    Said,
    grew_most,
    judge,
    library_places,
    named,
    place,
)

LEAKY = '''"""It leaks.

Public bug: https://github.com/owner/name/issues/1
"""

async def wait() -> None:
    await event.wait()  # waits

def spawn(coroutine):
    asyncio.create_task(coroutine)  # helper

async def main(rate):
    spawn(wait())  # leak
'''
LIBRARY = '''"""A library leaks.

Public bug: https://github.com/owner/name/pull/2
Packages: wares==1.2.3 more==4
Library: wares/inner.py, `task = create_task(coro)`
"""
'''


@pytest.fixture
def leaky(tmp_path: Path) -> Program:
    return _written(tmp_path, "leaky", LEAKY)


@pytest.fixture
def sound(tmp_path: Path) -> Program:
    return _written(tmp_path, "sound", '"""It does not leak."""\n')


def _written(folder: Path, kind: str, text: str) -> Program:
    (folder / kind).mkdir()
    file = folder / kind / "it.py"
    file.write_text(text)
    return load(file)


def test_a_program_is_described_by_its_own_file(leaky: Program, tmp_path: Path) -> None:
    assert (leaky.name, leaky.leaks, leaky.summary) == ("it", True, "It leaks.")
    assert leaky.bug == "https://github.com/owner/name/issues/1"
    assert (leaky.created, leaky.helpers, leaky.waits) == ((13,), (10,), (7,))
    assert leaky.coroutines == ("wait",)
    real = _written(tmp_path, "real", LIBRARY)
    assert real.packages == ("wares==1.2.3", "more==4")
    assert real.libraries == (("wares/inner.py", "task = create_task(coro)"),)
    assert real.leaks


def test_the_names_of_programs_differ() -> None:
    names = [each.name for each in catalog()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("blamed", "expected"),
    [
        (Place("/home/it.py", 13), "created"),
        (Place("leaky/it.py", 7), "waits"),
        (Place("it.py", 10, "wait()"), "created"),
        (Place("it.py", 10, "other()"), ""),
        (Place("it.py", 10), ""),
        (Place("it.py", 12), ""),
        (Place("other.py", 13), ""),
        (Place(coroutine="wait"), ""),
    ],
)
def test_only_a_marked_line_counts_as_named(leaky: Program, blamed: Place, expected: str) -> None:
    assert named(leaky, blamed) == expected


def test_the_lines_of_a_library_are_found_by_their_text(tmp_path: Path) -> None:
    program = _written(tmp_path, "real", LIBRARY)
    (tmp_path / "wares").mkdir()
    (tmp_path / "wares" / "inner.py").write_text("coro = f()\n    task = create_task(coro)\n")
    library = library_places(program, tmp_path)
    assert library == [Place("wares/inner.py", 2)]
    assert named(program, Place("<sitepkg>/wares/inner.py", 2), library) == "created"
    assert named(program, Place("<sitepkg>/wares/inner.py", 1), library) == ""


def test_any_place_that_a_tool_shows_can_be_the_right_one(leaky: Program) -> None:
    said = Said(True, (Place("asyncio/tasks.py", 680), Place("it.py", 13)), 30.0)
    assert judge(leaky, "tool", said).named == "created"
    assert judge(leaky, "tool", Said(True, (), 30.0)).named == ""


def test_blame_is_right_for_leaky_programs_only(leaky: Program, sound: Program) -> None:
    assert judge(leaky, "tool", Said(True)).right
    assert not judge(leaky, "tool", Said(False)).right
    assert judge(sound, "tool", Said(False)).right
    alarm = judge(sound, "tool", Said(True, (Place("it.py", 1),), 3.0))
    assert (alarm.right, alarm.named) == (False, "")


def test_of_lists_the_group_is_blamed_that_grew_most_and_always() -> None:
    steady, slow, quick, jump = (Place(coroutine=each) for each in "abcd")
    lists = [
        {steady: 500, slow: 1, quick: 10, jump: 0},
        {steady: 500, slow: 8, quick: 60, jump: 300},
        {steady: 500, slow: 15, quick: 110, jump: 300},
    ]
    assert grew_most(lists, least=10) == quick
    assert grew_most(lists[:2], least=10) is None
    assert grew_most(lists, least=101) is None
    assert grew_most([{}, *lists[1:]], least=10) == quick
    assert grew_most([{}, {}, {}], least=10) is None
    assert grew_most([*lists, {quick: 90, slow: 40}], least=10) == slow, "quick has drained"


def test_places_of_a_verdict() -> None:
    words = {"headline": "1,204 tasks leak", "cause": "f() never ends", "evidence": []}
    leak = words | {"kind": "LEAK", "location": "leaky/it.py:13"}
    waits = words | {
        "kind": "LEAK?",
        "location": None,
        "evidence": ["40 wait at a/b.py:7, for ever"],
    }
    blocked = words | {"kind": "BLOCKED", "location": "other.py:1"}
    blamed = places.of_diagnose({"findings": [blocked, leak, waits]})
    assert [(each.file, each.line) for each in blamed] == [
        ("leaky/it.py", 13),
        ("", 0),
        ("a/b.py", 7),
    ]
    assert "f() never ends" in blamed[0].coroutine
    assert places.of_diagnose({"findings": [blocked]}) == ()


def test_places_that_a_program_prints() -> None:
    groups = places.of_groups(json.dumps([["/a/it.py:13", 40, ["/a/b.py:4", "/a/it.py:13"]]]))
    assert groups == {Place("/a/it.py", 13): (40, (Place("/a/b.py", 4), Place("/a/it.py", 13)))}


def test_places_of_aiomonitor() -> None:
    row = {"coro": "f()", "created_location": "~/it.py:13"}
    untraced = {"coro": "g()", "created_location": "-"}
    tasks = [row | {"task_id": "1"}, untraced | {"task_id": "2"}, row | {"task_id": "3"}]
    assert places.of_live_tasks({"tasks": tasks}) == {
        Place("~/it.py", 13, "f()"): ["1", "3"],
        Place(coroutine="g()"): ["2"],
    }
    page = "<p>File &#34;/a/it.py&#34;, line 13, in main\n File &#34;/a/b.py&#34;, line 4, in f</p>"
    assert places.of_trace(page) == (Place("/a/it.py", 13, "main"), Place("/a/b.py", 4, "f"))


def test_places_of_asyncio_ps() -> None:
    table = (
        "tid        task id        task name   coroutine stack         awaiter chain   awaiter id\n"
        "----------------------------------------------------------------------------------------\n"
        "609        0x7f50         Task-1      sleep -> main                           0x0\n"
        "609        0x7f51         Task-2      Lock.acquire -> notify                  0x0\n"
        "609        0x7f52         Task-3      Lock.acquire -> notify                  0x0\n"
    )
    assert places.of_ps(table) == {
        Place(coroutine="sleep -> main"): ["Task-1"],
        Place(coroutine="Lock.acquire -> notify"): ["Task-2", "Task-3"],
    }
    tree = (
        "└── (T) Task-1\n    └──  main /a/it.py:29\n        └──  sleep /b/tasks.py:712\n"
        "└── (T) Task-2\n    └──  Client.notify /a/it.py:20\n"
    )
    assert places.of_pstree(tree) == {
        "Task-1": (Place("/a/it.py", 29, "main"), Place("/b/tasks.py", 712, "sleep")),
        "Task-2": (Place("/a/it.py", 20, "Client.notify"),),
    }


def test_text_without_a_line_is_a_coroutine() -> None:
    assert place("-", "f()") == Place(coroutine="f()")


def row(leaks: bool, said: Said, named: str = "") -> Row:
    return Row("it" if leaks else "other", leaks, "tool", said, named)  # type: ignore[arg-type]


def test_the_tables_count_what_was_judged() -> None:
    rows = [
        row(True, Said(True, (), 10.0), "created"),
        row(True, Said(True, (), 30.0)),
        row(True, Said(False)),
        row(True, Said(False, skipped="no package")),
        row(False, Said(True, (), 20.0)),
        row(False, Said(False)),
    ]
    scores = report.scores(rows, ["tool"])
    assert report.summary(scores[0]) == ("tool", "2 of 3", "1 of 3", "1 of 2", "20 s", "30 s")
    cells = [report.cell(each) for each in rows]
    assert cells == ["10 s, line", "30 s, no line", "missed", "skipped", "FALSE ALARM", "ok"]
    assert report.table(scores).splitlines()[1].split()[:4] == ["tool", "2", "of", "3"]
    assert report.markdown(scores).splitlines()[2] == (
        "| tool | 2 of 3 | 1 of 3 | 1 of 2 | 20 s | 30 s |"
    )
    answer = report.as_json(scores, python="3.11.7")
    assert answer["python"] == "3.11.7"
    assert answer["tools"]["tool"]["skipped"] == 1
    assert json.dumps(answer)


def test_saved_rows_are_read_back() -> None:
    rows = [row(True, Said(True, (Place("it.py", 13, "f()"),), 10.0), "created")]
    answer = json.loads(json.dumps(report.as_json(report.scores(rows, ["tool"]))))
    assert report.saved_rows(answer) == rows
    with pytest.raises(ValueError, match="leaks/0"):
        report.saved_rows(answer | {"schema": "leaks/0"})
