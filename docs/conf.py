"""The documentation site: ``make docs`` builds it into build/site (docs/adr/0038).

The source directory is the whole repository, so a link means the same here and on GitHub.
"""

from __future__ import annotations

from sphinx.application import Sphinx

from qcfeed import __version__

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

LISTS = {"docs/adr/README": "[0-9]*", "runbooks/index": "*"}
"""Pages that list all others of their directory, as links; on the site also in the navigation."""


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _add_navigation)


def _add_navigation(_: Sphinx, page: str, source: list[str]) -> None:
    if page in LISTS:
        source[0] += f"\n```{{toctree}}\n:hidden:\n:glob:\n\n{LISTS[page]}\n```\n"


html_extra_path = ["llms.txt", "schemas.json"]
