"""``qcfeed explain``: what a finding, an alert, a metric, a field or a term means, from where it is declared."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import typer

from qcfeed import model, runbook_pages, shipped
from qcfeed.cli import runbook
from qcfeed.cli.context import Format, Output, examples, new_app
from qcfeed.cli.flags import described
from qcfeed.cli.ui.figures import LabelledValue, show_figures
from qcfeed.cli.ui.listing import listed
from qcfeed.closest import closest
from qcfeed.config import all_options
from qcfeed.diagnose.runbooks import PAGES, page_of
from qcfeed.errors import not_found
from qcfeed.metrics.catalog import metrics
from qcfeed.metrics.catalog.alerts import ALERTS
from qcfeed.metrics.catalog.metrics import Metric

COMMANDS_SHOWN = 3
"""The commands of a runbook to show for each of its sections."""

app = new_app()


class ExplainedName(msgspec.Struct, kw_only=True, tag_field="schema", tag="qcfeed.explain/1"):
    """What a name means: ``meanings`` are pairs of a label and a text, in the order of reading."""

    name: str
    kind: str
    meanings: list[tuple[str, str]]


class _Term(NamedTuple):
    term: str
    meaning: str


def explain(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A finding's rule, an alert, a metric, an option, a field or a term.",
        ),
    ],
    output: Output = Format.TABLE,
) -> None:
    """Explain a finding, an alert, a metric, an option, a field of the JSON or a term.

    Shows what it means, how it is detected, and what to do. Needs no service.

    Exit status: 0; 2 if the name is not known.
    """
    found = list(_explanations(name))
    if not found:
        close = closest(name, _known(), most=3)
        raise not_found(
            "explanation of",
            repr(name),
            hint=f"did you mean {', '.join(close)}?"
            if close
            else "`qcfeed runbook` lists the pages",
        )
    answer = ExplainedName(
        name=name,
        kind=", ".join(dict.fromkeys(each.kind for each in found)),
        meanings=[pair for each in found for pair in each.meanings],
    )
    figures = [LabelledValue(label, text) for label, text in answer.meanings]
    show_figures(output, figures, raw=msgspec.json.encode(answer), names=[name])


app.command(
    epilog=examples(
        "qcfeed explain QcfeedOrphanedTasks    # an alert",
        "qcfeed explain never_ending           # the rule of a finding",
        "qcfeed explain lag_bytes              # a field of the JSON",
        "qcfeed explain linger                 # a term and an option",
        "qcfeed explain prometheus             # all options for the connection to Prometheus",
    )
)(listed(explain, watch=False))


def _explanations(name: str) -> Iterator[ExplainedName]:
    for kind, entries in (
        ("alert", list(_alert(name))),
        ("finding", list(_page(page_of(name))) if name in PAGES else []),
        ("metric", list(_metric(name))),
        ("term", [(each.term, each.meaning) for each in _glossary() if each.term == name.lower()]),
        ("option", list(_options(name))),
        ("field", list(_fields(name))),
    ):
        if entries:
            yield ExplainedName(name=name, kind=kind, meanings=entries)


def _alert(name: str) -> Iterator[tuple[str, str]]:
    for alert in ALERTS:
        if alert.name.lower() == name.lower():
            yield "alert", f"{alert.name}, {alert.severity}"
            yield "fires when", f"{alert.expr} for {alert.hold}"
            yield "type first", alert.command
            yield from _page(alert.name)


def _page(name: str) -> Iterator[tuple[str, str]]:
    """The meaning of a runbook, and the first commands of its sections."""
    if name not in shipped.runbooks():
        return
    text = runbook.read(name).text
    meaning = re.search(r"^## Meaning\n+(.+?)\n\n", text, re.MULTILINE | re.DOTALL)
    if meaning:
        yield "means", " ".join(meaning[1].split())
    for section, label in (("Diagnosis", "look"), ("Mitigation", "do"), ("Verification", "verify")):
        steps = [each.command for each in runbook_pages.steps(text) if each.section == section]
        yield from ((label, command) for command in steps[:COMMANDS_SHOWN])
    yield "runbook", f"qcfeed runbook {name}"


def _metric(name: str) -> Iterator[tuple[str, str]]:
    for metric in _metrics():
        if name in (metric.name, f"{metric.name}_total"):
            yield "metric", metric.name
            yield "means", metric.help


def _metrics() -> Iterator[Metric]:
    return (each for each in vars(metrics).values() if isinstance(each, Metric))


def _options(name: str) -> Iterator[tuple[str, str]]:
    """The option of this name, and those that begin with it: ``prometheus`` has all for its connection."""
    key = name.removeprefix("--").replace("-", "_").lower()
    for option in all_options():
        if option.name == key or option.name.startswith(f"{key}_"):
            value = (
                "" if option.type is bool else f" {option.metavar or option.type.__name__.upper()}"
            )
            flag = f"{option.flag} {value}" if value else option.flag
            yield option.name if option.secret else flag, described(option)


def _glossary() -> Iterator[_Term]:
    text = Path(shipped.directory("docs"), "reference", "glossary.md").read_text(encoding="utf-8")
    for row in re.findall(r"^\| (\*\*.+?) \| (.+) \|$", text, re.MULTILINE):
        for term in re.findall(r"\*\*(.+?)\*\*", row[0]):
            yield _Term(term, re.sub(r"\[([^\]]+)\]\([^)]*\)|[`*]+", r"\1", row[1]))


def _fields(name: str) -> Iterator[tuple[str, str]]:
    """Each structure of the JSON with this field, and what its documentation says of it."""
    for structure in _structures():
        if name in structure.__struct_fields__:
            text = _description(structure.__doc__ or "", name)
            yield f"{structure.__name__}.{name}", text or _first_sentence(structure.__doc__ or "")


def _structures() -> Iterator[type[msgspec.Struct]]:
    for each in pkgutil.iter_modules(model.__path__):
        module = importlib.import_module(f"{model.__name__}.{each.name}")
        for value in vars(module).values():
            if (
                isinstance(value, type)
                and issubclass(value, msgspec.Struct)
                and value.__module__ == module.__name__
            ):
                yield value


def _description(text: str, name: str) -> str:
    """The sentences of a docstring from the first one with ````name```` to the next that names another field."""
    sentences = re.split(r"(?<=[.])\s+", " ".join(text.split()))
    for number, sentence in enumerate(sentences):
        if f"``{name}``" in sentence:
            more = [each for each in sentences[number + 1 : number + 2] if "``" not in each]
            return " ".join([sentence, *more]).replace("``", "")
    return ""


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.])\s+", " ".join(text.split()))[0].replace("``", "")


def _known() -> list[str]:
    fields = {field for each in _structures() for field in each.__struct_fields__}
    return [
        *(each.name for each in ALERTS),
        *PAGES,
        *(each.name for each in _metrics()),
        *(each.term for each in _glossary()),
        *(each.name for each in all_options()),
        *sorted(fields),
    ]
