"""The mutation tester: its changes, its exceptions, and its verdicts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts.mutants import sites, table
from scripts.mutants.judge import BrokenError, Copy, Verdict
from scripts.mutants.sites import Mutant
from scripts.mutants.table import TableError

PROJECT = Path(__file__).parents[3]


def changed(source: str) -> set[str]:
    """The mutated texts of ``source``."""
    whole = source.encode()
    return {each.applied(whole).decode() for each in sites.find("a.py", whole)}


CHANGES = {
    "a < b": {"(a <= b)", "(a >= b)"},
    "a == b": {"(a != b)"},
    "a is None": {"(a is not None)"},
    "a in b": {"(a not in b)"},
    "a + b": {"(a - b)"},
    "a and b": {"(a or b)"},
    "a or b or c": {"(a and b and c)", "(b or c)", "(a or c)", "(a or b)"},
    "not a": {"(a)"},
    "x = min(a, b)": {"x = max(a, b)", "x = (a)"},
    "x = any(a)": {"x = all(a)"},
    "f(a, b=c)": {"pass", "f(a, **{})"},
    "x = 7": {"x = 8", "x = 6"},
    "x = 0": {"x = 1"},
    "x = 65_536": {"x = 131072"},
    "x = 0.5": {"x = 1.0"},
    "x = True": {"x = False"},
    "x = a if b else c": {"x = a if (not (b)) else c"},
    "x += a": {"pass", "x -= a"},
    "x.y = a": {"pass"},
    "del x[a]": {"pass"},
    "raise a": {"pass"},
    "f()": {"pass"},
    "def f():\n    return a": {"def f():\n    return None"},
    "if a:\n    b": {"if (not (a)):\n    b"},
    "while a:\n    break": {"while (not (a)):\n    break", "while a:\n    continue"},
}


@pytest.mark.parametrize("source", CHANGES)
def test_each_kind_of_mutant_is_generated(source: str) -> None:
    assert changed(source) == CHANGES[source]


@pytest.mark.parametrize(
    "source",
    [
        "x: int | None",
        "def f(a: int | None = None) -> int | None: ...",
        "'''text'''",
        "x = f'{a + 1}'",
        "log.debug('text', 1)",
        "log.info('text', 1)",
        "class A(Protocol):\n    x: int = 1",
        "@cache(size=1)\ndef f(): ...",
        "__slots__ = ('a',)",
        "T = TypeVar('T', bound=int)",
        "if TYPE_CHECKING:\n    x = 1",
    ],
)
def test_docstrings_and_annotations_are_not_mutated(source: str) -> None:
    assert changed(source) == set()


def test_assignments_in_init_are_not_removed_but_others_are() -> None:
    source = "class A:\n    def {}(self):\n        self.x = a"
    assert changed(source.format("__init__")) == set()
    assert changed(source.format("reset")) == {"class A:\n    def reset(self):\n        pass"}


def test_a_mutant_keeps_its_key_when_its_function_moves() -> None:
    before = b"class A:\n    def f(self):\n        return self.x < 1\n"
    after = b"import os\n\nY = 5\n\n\n" + before
    keys = [
        {each.key for each in sites.find(*file)} for file in (("a.py", before), ("b/c.py", after))
    ]
    assert keys[0] < keys[1]


def test_equal_lines_of_one_function_have_different_keys() -> None:
    source = b"def f(x):\n    x += 1\n    x += 1\n"
    keys = [each.key for each in sites.find("a.py", source)]
    assert len(set(keys)) == len(keys) == 8


def test_the_table_of_parts_fits_the_tree() -> None:
    parts = table.parts(PROJECT)
    assert all(part.modules for part in parts)
    modules = [module for part in parts for module in part.modules]
    assert len(set(modules)) == len(modules), "a module has one part"
    for package in ("qcfeed/feed", "qcfeed/diagnostics", "qcfeed/diagnose"):
        there = {str(path.relative_to(PROJECT)) for path in (PROJECT / package).glob("*.py")}
        assert there <= set(modules)


@pytest.mark.parametrize(
    ("modules", "tests", "words"),
    [
        ("qcfeed/nothing/*.py", "tests/unit/feed", "no module matches qcfeed/nothing"),
        ("qcfeed/feed/*.py", "tests/unit/nothing", "there is no tests/unit/nothing"),
    ],
)
def test_a_table_that_does_not_fit_the_tree_is_an_error(
    tmp_path: Path, modules: str, tests: str, words: str
) -> None:
    wrong = tmp_path / "parts.toml"
    wrong.write_text(f'[[part]]\nname = "x"\nmodules = ["{modules}"]\ntests = ["{tests}"]\n')
    with pytest.raises(TableError, match=words):
        table.parts(PROJECT, wrong)


def test_an_unknown_part_is_an_error_that_names_the_others() -> None:
    parts = table.parts(PROJECT)
    assert table.named(parts, None) == parts
    assert [each.name for each in table.named(parts, "net")] == ["net"]
    with pytest.raises(TableError, match="there is no part transport: fan-out, lifecycle, feed, "):
        table.named(parts, "transport")


PLAIN = ("-m", "pytest", "-x", "-q", "-p", "no:cacheprovider")
SAMPLE = """\
def bigger(a, b):
    return a if a > b else b


def untested(a):
    return a + 1


def counted(n):
    while n > 0:
        n -= 1
    return n
"""
TESTS = """\
from sample import bigger, counted


def test_bigger():
    assert bigger(1, 2) == 2


def test_counted():
    assert counted(3) == 0
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of two files; one mutant is noticed, one survives and one never ends."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "sample.py").write_text(SAMPLE)
    (root / "test_sample.py").write_text(TESTS)
    (root / "conftest.py").write_text("")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    return root


def mutant(old: str, new: str) -> Mutant:
    start = SAMPLE.index(old)
    return Mutant("sample.py", 1, "", "kind", start, start + len(old), new, "key")


def test_a_mutant_is_noticed_survives_or_times_out(project: Path, tmp_path: Path) -> None:
    copy = Copy.of(project, tmp_path / "copy", "sample", PLAIN)
    tests = ("test_sample.py",)
    assert copy.baseline(tests) > 0
    noticed = copy.judge(mutant("a > b", "a < b"), tests, 60.0)
    assert noticed.verdict is Verdict.NOTICED
    assert noticed.by == "test_sample.py::test_bigger"
    survived = copy.judge(mutant("a + 1", "a - 1"), tests, 60.0)
    assert survived.verdict is Verdict.SURVIVED
    hung = copy.judge(mutant("n -= 1", "n -= 0"), tests, 4.0)
    assert hung.verdict is Verdict.TIMED_OUT
    other = copy.clone(tmp_path / "other")
    assert other.judge(mutant("a > b", "a < b"), tests, 60.0).verdict is Verdict.NOTICED
    assert (copy.root / "sample.py").read_text() == SAMPLE, "each mutant is taken back"
    assert (project / "sample.py").read_text() == SAMPLE, "the project is never touched"


def test_the_tests_of_the_changed_module_run_first(project: Path, tmp_path: Path) -> None:
    for name in ("test_other.py", "unit/test_sample.py"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(TESTS)
    copy = Copy.of(project, tmp_path / "copy", "sample", PLAIN)
    for tests, first in (
        (("test_other.py", "unit"), "unit/test_sample.py::test_bigger"),
        (("test_other.py", "test_sample.py"), "test_sample.py::test_bigger"),
        (("test_other.py",), "test_other.py::test_bigger"),
    ):
        assert copy.judge(mutant("a > b", "a < b"), tests, 60.0).by == first


NOW_AND_THEN = """\
from pathlib import Path

from sample import bigger


def test_bigger():
    seen = Path("seen")
    first = not seen.exists()
    seen.touch()
    assert not first


def test_smaller():
    assert bigger(2, 1) == 2
"""


def test_a_flaky_test_does_not_count_as_noticing(project: Path, tmp_path: Path) -> None:
    (project / "test_sample.py").write_text(NOW_AND_THEN)
    copy = Copy.of(project, tmp_path / "copy", "sample", PLAIN)
    judged = copy.judge(mutant("a + 1", "a - 1"), ("test_sample.py",), 60.0)
    assert judged.verdict is Verdict.SURVIVED
    (copy.root / "seen").unlink()
    judged = copy.judge(mutant("a > b", "a < b"), ("test_sample.py",), 60.0)
    assert judged.by == "test_sample.py::test_smaller"


def test_a_module_that_cannot_be_imported_is_noticed(project: Path, tmp_path: Path) -> None:
    copy = Copy.of(project, tmp_path / "copy", "sample", PLAIN)
    broken = copy.judge(mutant("def bigger", "def smaller"), ("test_sample.py",), 60.0)
    assert broken.verdict is Verdict.NOTICED


def test_failing_tests_cannot_judge_a_mutant(project: Path, tmp_path: Path) -> None:
    (project / "test_sample.py").write_text("def test_it():\n    assert False\n")
    copy = Copy.of(project, tmp_path / "copy", "sample", PLAIN)
    with pytest.raises(BrokenError, match="fail without any mutant"):
        copy.baseline(("test_sample.py",))


def test_without_tests_no_mutant_is_judged(project: Path, tmp_path: Path) -> None:
    (project / "test_sample.py").write_text("")
    copy = Copy.of(project, tmp_path / "copy", "sample", PLAIN)
    with pytest.raises(BrokenError, match="no test was collected"):
        copy.judge(mutant("a > b", "a < b"), ("test_sample.py",), 60.0)


def test_a_copy_that_the_tests_do_not_import_is_an_error(project: Path, tmp_path: Path) -> None:
    with pytest.raises(BrokenError, match="not the copy"):
        Copy.of(project, tmp_path / "copy", package="json")
