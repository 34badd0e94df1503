"""``qcfeed runbook``: lists and shows the runbooks shipped with this version."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from qcfeed import shipped
from qcfeed.cli import output_files, target
from qcfeed.cli.context import Format, Output, examples, new_app
from qcfeed.cli.ui.listing import listed
from qcfeed.cli.ui.render import markdown, show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.diagnose import runbooks
from qcfeed.drills.catalog import DRILLS
from qcfeed.errors import UsageError, not_found

app = new_app()

RUN = "run"
"""The first word if a page is to be run; no page has this name."""


class Page(NamedTuple):
    """A runbook. ``about`` is the first sentence of its section Meaning, else of the page."""

    name: str
    title: str
    about: str
    text: str


PAGES: Table[Page] = Table(
    (
        Column("name"),
        Column("title", wide=True),
        Column("about", least=30),
    ),
    identity=lambda page: page.name,
)


@app.command(
    epilog=examples(
        "qcfeed runbook                       # list them",
        "qcfeed runbook QcfeedOrphanedTasks",
        "qcfeed runbook zombie-feeds           # the page for a drill",
        "qcfeed runbook QcfeedOrphanedTasks > page.md",
        "qcfeed runbook run QcfeedOrphanedTasks   # its commands, one after the other",
        "qcfeed runbook run QcfeedOrphanedTasks --read-only",
    )
)
@listed
def runbook(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[run] [RUNBOOK]",
            help="Name of the runbook: that of its alert, drill or rule.",
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="run: do not ask before commands that act.")
    ] = False,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="run: skip the commands that act.")
    ] = False,
    transcript: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="run: the transcript. Default: RUNBOOK-TIME.md, in this directory."
        ),
    ] = None,
    force: output_files.Force = False,
    output: Output = Format.TABLE,
) -> None:
    """List the runbooks, show one, or run one step by step.

    A page is rendered on a terminal, and plain Markdown in a pipe.

    `run` shows each command of the page before it runs, asks before those that may change
    something, and says whether the output is what the page shows. The transcript has the time,
    output and result of every step, also if it is interrupted.

    Exit status: 0; 2 if there is no such runbook; of `run`, 1 if a command shows something else
    than the page, 3, 4 or 5 if one gets no answer (the rest is not run), and 6 if a command acts
    and there is no terminal, no --yes and no --read-only.
    """
    running, name = _parsed(words or [])
    if running:
        from qcfeed.cli import runbook_run

        page = read(find(name or ""))
        runbook_run.go_through(
            page, yes=yes, read_only=read_only, transcript=transcript, force=force
        )
        return
    if yes or read_only or transcript or force:
        raise UsageError("--yes, --read-only, --transcript and --force belong to `runbook run`")
    if name is None:
        pages = [read(each) for each in shipped.runbooks()]
        show(output, PAGES, pages, raw=_json("qcfeed.runbooks/1", runbooks=[*map(_fields, pages)]))
        return
    page = read(find(name))
    if output is Format.TABLE:
        markdown(target.in_page(page.text))
    else:
        raw = _json("qcfeed.runbook/1", **_fields(page), text=page.text)
        show(output, PAGES, [page], raw=raw)


def _parsed(words: list[str]) -> tuple[bool, str | None]:
    """Whether a page is to be run, and its name if one is given. Raises UsageError."""
    running, names = words[:1] == [RUN], words[1:] if words[:1] == [RUN] else words
    if len(names) > 1 or (running and not names):
        raise UsageError(
            "give one runbook",
            hint="`qcfeed runbook` lists them; `qcfeed runbook run QcfeedOrphanedTasks` runs one",
        )
    return running, names[0] if names else None


def read(name: str) -> Page:
    """The runbook ``name``, which must be one of shipped.runbooks()."""
    text = Path(shipped.directory("runbooks"), f"{name}.md").read_text(encoding="utf-8")
    title = re.search(r"^# (.+)$", text, re.MULTILINE)
    found = re.search(r"^## Meaning\n+(.+?)\n\n", text, re.MULTILINE | re.DOTALL) or re.search(
        r"^# [^\n]+\n+(.+?)\n\n", text, re.DOTALL
    )
    paragraph = " ".join(found[1].split()) if found else ""
    about = _plain(re.split(r"(?<=[.]) ", paragraph)[0])
    return Page(name, title[1] if title else name, about, text)


def _plain(text: str) -> str:
    """A sentence of Markdown as plain text: without links, emphasis and backquotes."""
    return re.sub(r"\[([^\]]+)\]\([^)]*\)|[`*]+", r"\1", text)


def find(name: str) -> str:
    """The name of a runbook, in any case: its own, or that of a drill or rule whose page it is.

    Raises NotFoundError.
    """
    known = {each.lower(): each for each in shipped.runbooks()}
    for drill in DRILLS:
        known.setdefault(drill.name, (*drill.alerts, drill.name)[0])
    for rule, page in runbooks.PAGES.items():
        known.setdefault(rule, page)
    if name.lower() in known:
        return known[name.lower()]
    close = difflib.get_close_matches(name.lower(), known, n=1)
    raise not_found(
        "runbook",
        repr(name),
        hint=f"did you mean `qcfeed runbook {known[close[0]]}`?"
        if close
        else "`qcfeed runbook` lists them",
    )


def _fields(page: Page) -> dict[str, str]:
    return {"name": page.name, "title": page.title, "about": page.about}


def _json(schema: str, **fields: object) -> bytes:
    return json.dumps({"schema": schema, **fields}).encode()
