"""Links between pages lead somewhere, and so does every path of a page that code, tests or pages name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import llms
import pytest

ROOT = Path(__file__).parents[3]
_LINK = re.compile(r"\]\(([^)\s#:]+)(?:#[^)\s]*)?\)")
_NAMED = re.compile(r"(?<![\w./-])docs/(?:[\w-]+/)*[\w-]+\.(?:md|json|svg|txt)\b")


def _files(*patterns: str) -> list[Path]:
    """The project's own files, without those that are ignored."""
    left = {path for pattern in patterns for path in ROOT.rglob(pattern)}
    hidden = {".git", ".venv", ".tools", "build", "dist", "node_modules"}
    return sorted(
        path
        for path in left
        if not any(
            part in hidden or part.startswith(".venv") for part in path.relative_to(ROOT).parts
        )
    )


def dead_links(page: Path, text: str) -> list[str]:
    outside_code = re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)
    return [link for link in _LINK.findall(outside_code) if not (page.parent / link).exists()]


def dead_names(text: str) -> Iterator[str]:
    for name in _NAMED.findall(text):
        if not (ROOT / name).exists():
            yield name


def test_no_link_between_pages_is_dead() -> None:
    pages = _files("*.md")
    assert len(pages) > 60
    dead = {page.relative_to(ROOT): dead_links(page, page.read_text()) for page in pages}
    assert {page: links for page, links in dead.items() if links} == {}


def test_every_named_page_exists() -> None:
    files = _files("*.py", "*.md", "*.toml", "*.yaml", "*.yml", "Makefile", "*.sh")
    dead = {path.relative_to(ROOT): list(dead_names(path.read_text())) for path in files}
    assert {path: names for path, names in dead.items() if names} == {}


def test_every_page_is_in_the_index_once() -> None:
    """llms.txt and the navigation are made from it."""
    index = (ROOT / "docs" / "index.md").read_text()
    listed = [entry.page for _, pages in llms.parts(index) for entry in pages]
    assert len(listed) == len(set(listed))
    in_lists_of_their_own = {"adr", "release-notes"}
    pages = {
        path.relative_to(ROOT / "docs").with_suffix("").as_posix()
        for path in (ROOT / "docs").rglob("*.md")
        if path.parent.name not in in_lists_of_their_own
    }
    assert pages - {"index"} <= set(listed)
    assert {part for part, _ in llms.parts(index)} == {
        "Tutorial", "How-to", "Reference", "Explanation",
    }  # fmt: skip


def test_every_page_has_one_title() -> None:
    """The site's navigation lists each heading of the first level as if it were a page."""
    titles = {
        page.relative_to(ROOT): _titles(page.read_text())
        for page in _files("*.md")
        if page.relative_to(ROOT).parts[0] in ("docs", "runbooks")
    }
    assert {page: found for page, found in titles.items() if len(found) != 1} == {}


def _titles(text: str) -> list[str]:
    outside_code = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^# .+$", outside_code, re.MULTILINE)


@pytest.mark.parametrize("text", ["[a](nowhere.md)", "[a](nowhere.md#there)"])
def test_a_dead_link_is_found(text: str) -> None:
    assert dead_links(ROOT / "README.md", text) == ["nowhere.md"]
    assert dead_links(ROOT / "README.md", f"```sh\n{text}\n```\n[b](LICENSE)") == []


def test_a_name_of_no_page_is_found() -> None:
    assert list(dead_names("see docs/no" + "where.md and docs/index.md")) == [
        "docs/no" + "where.md"
    ]
