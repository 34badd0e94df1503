"""llms.txt and the site's navigation come from docs/index.md."""

from __future__ import annotations

import llms
import pytest

INDEX = """# A

What A is,
in two lines.

## Tutorial

- [First](tutorial.md): ten minutes
- [Second](reference/cli.md) *

## Explanation

Words, and a [link](nowhere.md) that is no entry.
"""


def test_an_entry_is_a_list_item_with_title_page_and_summary() -> None:
    assert dict(llms.parts(INDEX)) == {
        "Tutorial": [
            llms.Entry("First", "tutorial", "ten minutes"),
            llms.Entry("Second", "reference/cli", ""),
        ],
        "Explanation": [],
    }


def test_the_file_has_the_parts_with_paths_from_the_project() -> None:
    text = llms.render()
    assert text.startswith("# qcfeed\n\n> qcfeed is a market-data service")
    for part, line in {
        "## Tutorial": "- [Find a leak and end it](docs/tutorial.md): ten minutes, two terminals",
        "## How-to": "- [Contribute](CONTRIBUTING.md): set up, test, change",
    }.items():
        assert f"\n{line}\n" in text.partition(part)[2]


def test_a_page_that_there_is_not_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = llms.Entry("x", "no-such-page", "")
    monkeypatch.setattr(llms, "parts", lambda _: [("Tutorial", [entry])])
    with pytest.raises(FileNotFoundError):
        llms.render()
