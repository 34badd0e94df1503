"""The documentation site: ``make docs`` builds it into build/site (docs/adr/0038).

The source directory is the whole repository, so a link means the same here and on GitHub.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx

from qcfeed import __version__

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))
from llms import parts  # the parts of index.md, for llms.txt and the navigation

project = "qcfeed"
author = "The qcfeed maintainers"
release = version = __version__

root_doc = "docs/index"
include_patterns = ["docs/**", "runbooks/**", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]

extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline"]

autodoc_typehints = "signature"
autodoc_member_order = "bysource"

suppress_warnings = ["misc.highlighting_failure"]  # haproxy has no lexer

html_theme = "furo"
html_title = f"qcfeed {release}"
html_show_sphinx = False
html_copy_source = False

LISTS = {
    "docs/adr/README": "[0-9]*",
    "docs/release-notes/README": "[0-9]*",
    "runbooks/index": "*",
    "docs/index": "",
}
"""Pages that list others as links; on the site those are also in the navigation. A pattern names all pages of
the directory; without one, each section of the page is a part of the navigation, with the pages it links."""


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _add_navigation)


def _add_navigation(_: Sphinx, page: str, source: list[str]) -> None:
    if pattern := LISTS.get(page):
        source[0] += _toctree("", pattern, ":glob:")
    elif page in LISTS:
        source[0] += "".join(
            _toctree(part, "\n".join(entry.page for entry in pages))
            for part, pages in parts(source[0])
        )


def _toctree(caption: str, pages: str, *options: str) -> str:
    head = [f":caption: {caption}"] if caption else []
    return "\n```{toctree}\n" + "\n".join([":hidden:", *head, *options, "", pages]) + "\n```\n"


html_extra_path = ["asyncapi.json", "llms.txt", "schemas.json"]
