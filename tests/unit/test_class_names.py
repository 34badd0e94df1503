"""A public class name is defined in one module, so that a reader who searches for it finds one class."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import qcfeed

PACKAGE = Path(qcfeed.__file__).parent

ALLOWED: dict[str, str] = {}
"""Names that may be defined more than once, each with the reason."""


def duplicates(package: Path) -> dict[str, list[str]]:
    """Every public class name that two modules or more define, with their files."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(package.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
        for name in names:
            if not name.startswith("_"):
                found[name].append(path.relative_to(package).as_posix())
    return {name: files for name, files in sorted(found.items()) if len(files) > 1}


def test_a_public_class_name_is_defined_once() -> None:
    twice = {name: files for name, files in duplicates(PACKAGE).items() if name not in ALLOWED}
    lines = [f"{name}: {', '.join(files)}" for name, files in twice.items()]
    assert not twice, "give each of these classes a name of its own:\n" + "\n".join(lines)


def test_every_exception_is_still_needed() -> None:
    assert set(ALLOWED) <= set(duplicates(PACKAGE)), "remove the names that are unique by now"


def test_two_modules_with_the_same_name_are_found(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "first.py").write_text("class Row: pass\nclass _Row: pass\n")
    (tmp_path / "second.py").write_text("if True:\n    class Row: pass\nclass _Row: pass\n")
    (tmp_path / "third.py").write_text("class Other: pass\n")
    assert duplicates(tmp_path) == {"Row": ["one/first.py", "second.py"]}
