"""Every snippet of every page works, or plan.py says why it is not tried."""

from __future__ import annotations

import contextlib
from pathlib import Path

import kubernetes_validate
import msgspec
import pytest
from typer._click.exceptions import UsageError

from tests.docs import plan
from tests.docs.checks import CHECKS
from tests.docs.commands import Session, lines
from tests.docs.snippets import ROOT, PageError, Snippet, pages, read, snippets
from tests.support.daemon import needs

COMMANDS = {"console", "sh"}
PAGES = [page for page in pages() if snippets(page)]
ELSEWHERE = {(each.page, each.language) for each in plan.ELSEWHERE}


def follow(page: str, found: list[Snippet], home: Path) -> None:
    """Do what a page says, from its first snippet to its last. Raises an error if one does not work."""
    world = plan.WORLDS.get(page, lambda _: contextlib.nullcontext({}))
    with world(home) as replaced, Session(page, home, replaced) as session:
        for snippet in found:
            if (page, snippet.language) in ELSEWHERE:
                continue
            if snippet.language in COMMANDS:
                session.run(snippet)
                continue
            if snippet.saved_as:
                (home / snippet.saved_as).write_text(session.replace(snippet.text))
            CHECKS[snippet.language](snippet, home)


@needs("promtool", "prometheus")
@pytest.mark.parametrize("page", PAGES)
def test_the_snippets_of_the_page_work(page: str, tmp_path: Path) -> None:
    follow(page, snippets(page), tmp_path)


def test_every_language_is_run_by_something() -> None:
    for page in PAGES:
        for snippet in snippets(page):
            known = snippet.language in CHECKS.keys() | COMMANDS
            assert known or (page, snippet.language) in ELSEWHERE, f"{snippet}: who runs it?"


@pytest.mark.parametrize("each", plan.ELSEWHERE, ids=lambda each: f"{each.page}-{each.language}")
def test_what_runs_elsewhere_is_run_by_a_test_that_reads_the_page(each: plan.Elsewhere) -> None:
    assert [s for s in snippets(each.page) if s.language == each.language]
    file, _, test = each.test.partition("::")
    text = (ROOT / file).read_text()
    assert f"def {test}(" in text
    assert Path(each.page).name in text


@pytest.mark.parametrize("each", plan.NOT_RUN, ids=lambda each: each.command)
def test_every_reason_is_needed(each: plan.NotRun) -> None:
    commands = [
        (page, line)
        for page in PAGES
        for snippet in snippets(page)
        if snippet.language in COMMANDS
        for line in lines(snippet.text)
    ]
    assert [line for page, line in commands if plan.excused(page, line) == each.reason]


FAILURES = (
    AssertionError, UsageError, msgspec.ValidationError, kubernetes_validate.ValidationError,
)  # fmt: skip
FALSE = {
    "an output that is not shown": ("console", "$ qcfeed runbook -o name\n17 pages\n"),
    "a command that fails": ("sh", "qcfeed version\nqcfeed runbook no-such-page\n"),
    "an option that there is not": ("sh", "qcfeed tasks --by-locations\n"),
    "an option, in a command that is not run": ("sh", "qcfeed attach 4711 --forever 10m\n"),
    "a target that there is not": ("sh", "make tests\n"),
    "a service that does not start": ("sh", "qcfeed serve --upstream nosuch:\n"),
    "a name that cannot be imported": ("python", "from qcfeed import detach\n"),
    "an option that no program takes": ("python", "from qcfeed import attach\nattach('a', x=1)\n"),
    "an option that no file may have": ("toml", 'upstraem = "sim:"\n'),
    "a manifest with a field too many": ("yaml", "apiVersion: v1\nkind: Service\nspce: {}\n"),
    "a scrape configuration": ("yaml", "scrape_configs: [{job: qcfeed}]\n"),
    "a workflow": ("yaml", "on: push\njobs: {test: {runs: ubuntu}}\n"),
    "some YAML that nobody reads": ("yaml", "a: b\n"),
    "a message with a wrong type": ("json", '{"type":"pong","symbol":1}\n'),
    "a message that there is not": ("json", '{"type":"ping"}\n'),
    "an expression": ("promql", "sum by (job qcfeed_tasks_live\n"),
}  # fmt: skip


@needs("promtool")
@pytest.mark.parametrize("kind", FALSE)
def test_a_false_snippet_is_found(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "patience", lambda _: 0.0)
    language, text = FALSE[kind]
    found = list(read("planted.md", f"# Planted\n\n```{language}\n{text}```\n"))
    with pytest.raises(FAILURES):
        follow("planted.md", found, tmp_path)


@pytest.mark.parametrize("text", ["```\nls\n```\n", "Type:\n\n    ls\n", "```sh\nls\n"])
def test_code_without_language_or_end_is_no_snippet(text: str) -> None:
    with pytest.raises(PageError, match=r"planted.md:\d"):
        list(read("planted.md", text))


def test_a_snippet_knows_where_it_stands_and_which_file_it_is() -> None:
    text = (
        "# A\n\nSave this as `shop.py`. It leaks:\n\n```python\nx\n```\n\n## B\n\n```sh\ny\n```\n"
    )
    assert list(read("a.md", text)) == [
        Snippet("a.md", 5, "A", "python", "x\n", "shop.py"),
        Snippet("a.md", 11, "B", "sh", "y\n", None),
    ]
